# ruff: noqa: TID251
"""The weights in a file of another project; the one place that reads files of ``torch.save``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["read_state_dict"]

# where training scripts keep weights, averaged ones first
_AVERAGED = ("ema", "model_ema", "ema_state_dict")
_PLAIN = ("state_dict", "model", "model_state_dict", "net")
_PREFIXES = ("module.", "model.")
# in the state of a network of score_sde, but not trained, so not in the list of averages
_NOT_TRAINED = ("sigmas", "all_modules.0.W")

# the noise levels that EDM's "iddpm" keeps beside its network: its settings say them, too
_BESIDE = "u"

_PICKLE = b"\x80"
# a pickle of the number that torch.save wrote first
_TORCH_BEFORE_ZIP = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_state_dict(path: str | os.PathLike[str], *, ema: bool = True) -> dict[str, Tensor]:
    """Return the weights of a network by their names, on the CPU.

    The file is of safetensors, or of ``torch.save`` with nothing but tensors and plain values. Of
    a training's checkpoint the entry that holds a network is taken, also averages that score_sde
    keeps as a list in the order of the parameters. Prefixes that all names share ("module.",
    "model.") are left out.

    Args:
        path: The file.
        ema: Take the average of the weights where there is one.

    Raises:
        ValueError: The file is missing, damaged, holds no network or could only be read by running
            code from it.
    """
    path = Path(path)
    start = _start_of(path)
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        content: Any = _safetensors(path)
    elif start.startswith(_PICKLE) and not start.startswith(_TORCH_BEFORE_ZIP):
        raise ValueError(_code_in(path))
    else:
        content = _plain_torch(path)
    try:
        return _without_prefixes(_network_in(content, ema))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise ValueError(f"{path}: not a readable file ({error.strerror})") from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    # a damaged file fails in too many ways to list
    try:
        return load_file(path)
    except Exception as error:
        raise ValueError(f"{path}: not a readable safetensors file ({_short(error)})") from error


def _plain_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # a damaged file fails in too many ways to list
    except Exception as error:
        if "GLOBAL" in str(error):
            raise ValueError(_code_in(path)) from error
        # what torch says is the byte that it stumbles over, or advice to run what is in the file
        raise ValueError(
            f"{path}: neither safetensors nor a readable file of torch.save "
            f"({type(error).__name__})"
        ) from error


def _network_in(content: Any, ema: bool) -> dict[str, Tensor]:
    if _is_network(content):
        return dict(content)
    if isinstance(content, Mapping):
        averages = content.get("ema")
        if ema and isinstance(averages, Mapping) and "shadow_params" in averages:
            return _averaged(_network_in(content, False), averages["shadow_params"])
        for key in (*_AVERAGED, *_PLAIN) if ema else _PLAIN:
            if isinstance(content.get(key), Mapping):
                return _network_in(content[key], ema)
    raise ValueError("no tensors by name, as a network's state_dict has them")


def _is_network(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def _averaged(weights: dict[str, Tensor], averages: Any) -> dict[str, Tensor]:
    weights = _without_prefixes(weights)
    trained = [name for name in weights if name not in _NOT_TRAINED]
    if not isinstance(averages, list) or len(averages) != len(trained):
        found = len(averages) if isinstance(averages, list) else type(averages).__name__
        raise ValueError(f"ema: expected averages of {len(trained)} parameters, got {found}")
    for name, value in zip(trained, averages, strict=True):
        if not isinstance(value, Tensor) or value.shape != weights[name].shape:
            raise ValueError(f"ema: the average in the place of {name} has another shape")
    return weights | dict(zip(trained, averages, strict=True))


def _without_prefixes(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    network = {name: value for name, value in weights.items() if name != _BESIDE}
    for prefix in _PREFIXES:
        if network and all(name.startswith(prefix) for name in network):
            return _without_prefixes({n.removeprefix(prefix): v for n, v in network.items()})
    return weights


def _code_in(path: Path) -> str:
    return (
        f"{path}: a pickle that runs code: load it in the project that it is from and save "
        "net.state_dict() with safetensors.torch.save_file"
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
