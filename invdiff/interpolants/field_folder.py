"""A learned field as a folder: weights, and what they are the weights of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import torch
from torch import nn

from invdiff.interpolants.interpolant import Interpolant
from invdiff.interpolants.losses import Objective
from invdiff.interpolants.networks import FieldMLP, FieldUNet
from invdiff.interpolants.settings import interpolant_from_settings, interpolant_settings
from invdiff.interpolants.skip import GaussianSkip
from invdiff.training.weights import read_settings, read_weights, reason, write_weights

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
    write_weights(path / _WEIGHTS, network)
    (path / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")


def load_field(folder: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> SavedField:
    """Read what ``save_field`` wrote.

    Raises:
        ValueError: A file that is missing or damaged, a kind that isn't known, or other tensors
            than those of the network.
    """
    path = Path(folder)
    settings = read_settings(path / _SETTINGS)
    try:
        interpolant = interpolant_from_settings(settings["interpolant"])
        objective = settings["objective"]
        if objective not in get_args(Objective):
            raise ValueError(f"expected an objective {get_args(Objective)}, got {objective!r}")
        # weights that are drawn here are thrown away
        with torch.random.fork_rng(devices=[]):
            network = _built(settings["network"], interpolant, objective)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path / _SETTINGS}: {reason(error)}") from error
    read_weights(path / _WEIGHTS, network)
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
