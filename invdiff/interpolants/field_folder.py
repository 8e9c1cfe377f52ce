"""A learned field as a folder: weights, and what they are the weights of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from invdiff.interpolants.interpolant import Interpolant
from invdiff.interpolants.losses import Objective
from invdiff.interpolants.networks import FieldMLP, FieldUNet
from invdiff.interpolants.settings import interpolant_from_settings, interpolant_settings
from invdiff.interpolants.skip import GaussianSkip

__all__ = ["SavedField", "load_field", "save_field"]

_SETTINGS, _WEIGHTS = "field.json", "weights.safetensors"
_NETWORKS: dict[str, type[FieldMLP | FieldUNet]] = {
    part.__name__: part for part in (FieldMLP, FieldUNet)
}


class SavedField(NamedTuple):
    """What a folder holds.

    Args:
        network: ``(x, t, condition)``, in evaluation mode; see ``told``.
        interpolant: What it was learned on.
        objective: Which field it is.
        info: What else was said of it.
    """

    network: nn.Module
    interpolant: Interpolant
    objective: Objective
    info: dict[str, Any]


def save_field(
    folder: str | os.PathLike[str],
    network: nn.Module,
    interpolant: Interpolant,
    objective: Objective,
    info: Mapping[str, Any] | None = None,
) -> None:
    """Write ``field.json`` and ``weights.safetensors``.

    Args:
        folder: Made if it isn't there.
        network: A ``FieldMLP`` or a ``FieldUNet``, maybe in a ``GaussianSkip``.
        interpolant: What it was learned on.
        objective: Which field it is.
        info: Title, licence, ...; plain values.

    Raises:
        ValueError: Another network or interpolant.
    """
    settings = {
        "objective": objective,
        "interpolant": interpolant_settings(interpolant),
        "network": _network_settings(network, interpolant, objective),
        "info": dict(info or {}),
    }
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, path / _WEIGHTS)
    (path / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")


def load_field(folder: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> SavedField:
    """Read what ``save_field`` wrote.

    Raises:
        ValueError: A file that is missing or damaged, a kind that isn't known, or other tensors
            than those of the network.
    """
    path = Path(folder)
    settings = _read_settings(path / _SETTINGS)
    try:
        interpolant = interpolant_from_settings(settings["interpolant"])
        objective = settings["objective"]
        if objective not in get_args(Objective):
            raise ValueError(f"expected an objective {get_args(Objective)}, got {objective!r}")
        # weights that are drawn here are thrown away
        with torch.random.fork_rng(devices=[]):
            network = _built(settings["network"], interpolant, objective)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path / _SETTINGS}: {_reason(error)}") from error
    _load_weights(network, path / _WEIGHTS)
    return SavedField(network.to(device).eval(), interpolant, objective, settings["info"])


def _network_settings(
    network: nn.Module, interpolant: Interpolant, objective: Objective
) -> dict[str, Any]:
    if isinstance(network, GaussianSkip):
        network.check(interpolant, objective)
        skip = {"base_std": network.base_std, "target_std": network.target_std}
        return _network_settings(network.network, interpolant, objective) | {"skip": skip}
    if not isinstance(network, FieldMLP | FieldUNet):
        raise ValueError(
            f"save_field: expected one of {', '.join(_NETWORKS)}, got {type(network).__name__}"
        )
    return {"kind": type(network).__name__, "settings": network.settings}


def _built(
    settings: Mapping[str, Any], interpolant: Interpolant, objective: Objective
) -> nn.Module:
    kind = settings["kind"]
    if kind not in _NETWORKS:
        raise ValueError(f"expected a network {', '.join(_NETWORKS)}, got {kind!r}")
    network: nn.Module = _NETWORKS[kind](**settings["settings"])
    if "skip" in settings:
        network = GaussianSkip(network, interpolant, objective, **settings["skip"])
    return network


def _load_weights(network: nn.Module, path: Path) -> None:
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({_reason(error)})") from error
    expected = network.state_dict()
    if differing := sorted(expected.keys() ^ weights.keys()):
        raise ValueError(f"{path}: tensors that are missing or unknown, such as {differing[0]}")
    for name, value in weights.items():
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            raise ValueError(
                f"{path}: expected {name} of shape {tuple(expected[name].shape)} and "
                f"{expected[name].dtype}, got {tuple(value.shape)} and {value.dtype}"
            )
        if not value.isfinite().all():
            raise ValueError(f"{path}: {name} is not finite")
    network.load_state_dict(weights)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable JSON file ({_reason(error)})") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("info"), dict):
        raise ValueError(f'{path}: expected an object with an object "info"')
    return settings


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"no {error}"
    return " ".join(str(error).split())[:200]
