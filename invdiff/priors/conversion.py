"""A checkpoint of another project as a folder that ``load_prior`` reads, and its network back."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file
from torch import Tensor

from invdiff.priors.architectures.image_network import ImageNetwork
from invdiff.priors.architectures.registry import ARCHITECTURES, Architecture
from invdiff.priors.labels import class_names
from invdiff.priors.preconditioning import Preconditioning
from invdiff.priors.state_dict_file import read_state_dict

__all__ = ["convert_checkpoint", "read_converted"]


def convert_checkpoint(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    architecture: str,
    settings: Any = None,
    info: Mapping[str, Any] | None = None,
    *,
    ema: bool = True,
) -> Path:
    """Write the weights of another project's file as a folder that ``load_prior`` reads.

    The weights keep their names and values, in single precision.

    Args:
        path: The file, see ``read_state_dict``.
        folder: New; it gets ``network/config.json``, ``network/weights.safetensors`` and
            ``prior.json``.
        architecture: One of ``ARCHITECTURES``.
        settings: What the shapes don't say, as a mapping, or all settings as the dataclass.
        info: What ``prior.json`` says: title, modality, classes, ...; ``data_range`` unless it is
            that of the architecture.
        ema: Take the average of the weights where the file has one.

    Returns:
        The folder.

    Raises:
        ValueError: A file or settings that don't fit the network, or a folder that is there.
    """
    folder, kind = Path(folder), _architecture(architecture)
    if folder.exists():
        raise ValueError(f"{folder}: is there already")
    weights = {name: _single(value) for name, value in read_state_dict(path, ema=ema).items()}
    complete = _complete(kind, settings, weights, path)
    weights = {**kind.tables(complete), **weights}
    network = _with_weights(kind, complete, weights, path)
    kind.preconditioning(complete)
    class_names(network.config.num_classes, info or {})
    (folder / "network").mkdir(parents=True)
    content = {"architecture": architecture, "settings": dataclasses.asdict(complete)}
    (folder / "network" / "config.json").write_text(json.dumps(content, indent=2) + "\n")
    save_file(weights, folder / "network" / "weights.safetensors")
    said = {"data_range": list(kind.data_range(complete)), **(info or {})}
    (folder / "prior.json").write_text(json.dumps(said, indent=2) + "\n")
    return folder


def read_converted(folder: Path) -> tuple[ImageNetwork, Preconditioning]:
    """Return the network of a folder ``network/``, and what its output means.

    Raises:
        ValueError: A file that is missing or damaged.
    """
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text())
        name, values = content["architecture"], dict(content["settings"])
    # brackets in brackets without end
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not the settings of a converted network ({error})") from error
    kind, file = _architecture(name), folder / "weights.safetensors"
    settings = _settings(kind, values)
    network = _with_weights(kind, settings, read_state_dict(file), file)
    return network, kind.preconditioning(settings)


def _architecture(name: Any) -> Architecture:
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture: expected one of {', '.join(ARCHITECTURES)}, got {name!r}")
    return ARCHITECTURES[name]


def _complete(
    kind: Architecture, settings: Any, weights: Mapping[str, Tensor],
    path: str | os.PathLike[str],
) -> Any:  # fmt: skip
    try:
        inferred = kind.infer(weights)
    # what the file lacks shows in whichever look-up comes first
    except (ArithmeticError, LookupError, ValueError) as error:
        raise ValueError(f"{path}: not a network of this architecture (no {error})") from error
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        settings = dataclasses.asdict(settings)
    complete = _settings(kind, {**inferred, **(settings or {})})
    for name, value in inferred.items():
        if getattr(complete, name) != value:
            raise ValueError(
                f"settings: {name} is {value} in {path}, got {getattr(complete, name)}"
            )
    return complete


def _settings(kind: Architecture, values: dict[str, Any]) -> Any:
    known = [field.name for field in dataclasses.fields(kind.settings)]
    if unknown := sorted(values.keys() - set(known)):
        raise ValueError(f"settings: expected {', '.join(known)}, got {unknown[0]}")
    try:
        return TypeAdapter(kind.settings).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"settings: {where}: {first['msg']}") from error


def _with_weights(
    kind: Architecture, settings: Any, weights: Mapping[str, Tensor],
    path: str | os.PathLike[str],
) -> ImageNetwork:  # fmt: skip
    try:
        # without memory: the weights bring theirs
        with torch.device("meta"):
            network = kind.network(settings)
    # settings that fit no network fail in the layers of torch
    except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
        raise ValueError(f"settings: no such network ({' '.join(str(error).split())})") from error
    _check(network.state_dict(), weights, path)
    network.load_state_dict(weights, assign=True)
    return network


def _check(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], path: str | os.PathLike[str]
) -> None:
    if differing := sorted(expected.keys() ^ found.keys()):
        kind = "lacks" if differing[0] in expected else "has unknown"
        raise ValueError(f"{path}: {kind} {differing[0]}, one of {len(differing)} differences")
    for name, value in found.items():
        if value.shape != expected[name].shape:
            raise ValueError(
                f"{path}: expected {name} of shape {tuple(expected[name].shape)}, "
                f"got {tuple(value.shape)}"
            )
        if not value.isfinite().all():
            raise ValueError(f"{path}: {name} is not finite")


def _single(value: Tensor) -> Tensor:
    plain = value.detach()
    # a copy: safetensors refuses tensors that share memory
    return (plain.float() if plain.is_floating_point() else plain).contiguous().clone()
