"""Weights and settings of a network in a folder, read with every doubt told in one line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

__all__ = [
    "check_tensors",
    "give_weights",
    "read_settings",
    "read_tensors",
    "read_weights",
    "reason",
    "write_weights",
]


def write_weights(path: Path, network: nn.Module) -> None:
    """Write the tensors of a network as safetensors."""
    weights = {name: value.detach().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, path)


def read_weights(path: Path, network: nn.Module) -> None:
    """Give a network the weights that ``write_weights`` wrote.

    Raises:
        ValueError: The file is missing or damaged, or holds other tensors than those of the
            network, or numbers that aren't finite.
    """
    give_weights(path, network, read_tensors(path))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors that ``write_weights`` wrote.

    Raises:
        ValueError: The file is missing or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({reason(error)})") from error


def give_weights(path: Path, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a network its weights; one on the meta device gets its memory, on the CPU, first.

    Args:
        path: Where the weights are from.
        network: Any whose state is in its ``state_dict``.
        weights: As from ``read_tensors``.

    Raises:
        ValueError: Other tensors than those of the network, or numbers that aren't finite.
    """
    expected = network.state_dict()
    try:
        check_tensors(expected, weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for name, value in weights.items():
        if not value.isfinite().all():
            raise ValueError(f"{path}: {name} is not finite")
    if any(value.is_meta for value in expected.values()):
        network.to_empty(device="cpu")
    network.load_state_dict(weights)


def check_tensors(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raise ``ValueError`` unless names, shapes and dtypes are those expected."""
    if differing := sorted(expected.keys() ^ found.keys()):
        raise ValueError(f"tensors that are missing or unknown, such as {differing[0]}")
    for name, value in found.items():
        if value.shape != expected[name].shape or value.dtype != expected[name].dtype:
            raise ValueError(
                f"expected {name} of shape {tuple(expected[name].shape)} and "
                f"{expected[name].dtype}, got {tuple(value.shape)} and {value.dtype}"
            )


def read_settings(path: Path) -> dict[str, Any]:
    """Return a JSON object that has an object "info".

    Raises:
        ValueError: The file is missing, damaged or something else.
    """
    try:
        settings = json.loads(path.read_text())
    # brackets in brackets without end
    except (OSError, RecursionError, ValueError) as error:
        raise ValueError(f"{path}: not a readable JSON file ({reason(error)})") from error
    if not isinstance(settings, dict) or not isinstance(settings.get("info"), dict):
        raise ValueError(f'{path}: expected an object with an object "info"')
    return settings


def reason(error: Exception) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, KeyError):
        return f"no {error}"
    return " ".join(str(error).split())[:200]
