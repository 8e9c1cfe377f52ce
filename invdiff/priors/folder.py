"""A network's folder, in the layout of diffusers or ours, read without a network connection."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from invdiff.priors.conversion import read_converted
from invdiff.priors.preconditioning import Preconditioning
from invdiff.priors.scheduler import preconditioning_of
from invdiff.suggestion import did_you_mean

__all__ = ["SavedPrior", "find_prior", "names_in", "read_prior_folder", "read_prior_info"]


class SavedPrior(NamedTuple):
    """What a folder holds: the network, what its output means, and what is said about it."""

    network: nn.Module
    preconditioning: Preconditioning
    data_range: tuple[float, float]
    info: dict[str, Any]


def names_in(shipped: Path) -> list[str]:
    """Return the names of the priors in a folder of folders."""
    if not shipped.is_dir():
        return []
    return sorted(folder.name for folder in shipped.iterdir() if folder.is_dir())


def find_prior(name_or_path: str | os.PathLike[str], shipped: Path) -> Path:
    """Return the folder of a shipped prior of that name, or that folder.

    Raises:
        ValueError: Neither is there.
    """
    if str(name_or_path) in names_in(shipped):
        return shipped / str(name_or_path)
    folder = Path(name_or_path)
    if not folder.is_dir():
        known = names_in(shipped)
        raise ValueError(
            f"prior: expected one of {', '.join(known)} or a folder, got {name_or_path}"
            f"{did_you_mean(str(name_or_path), known)}"
        )
    return folder


def read_prior_folder(
    folder: Path, *, device: torch.device | str, dtype: torch.dtype, channels_last: bool,
    compile: bool,
) -> SavedPrior:  # fmt: skip
    """Read ``network/``, or ``unet/`` and ``scheduler/``, and ``prior.json`` where it is there.

    Raises:
        ValueError: A file that is missing or damaged, or a scheduler that isn't known.
    """
    info = read_prior_info(folder)
    data_range = _data_range(folder, info)
    network: nn.Module
    if (folder / "network").is_dir():
        network, preconditioning = read_converted(folder / "network")
        network = network.to(dtype)
    else:
        _check_pipeline(folder)
        preconditioning = preconditioning_of(_json(folder / "scheduler" / "scheduler_config.json"))
        network = _load_network(folder / "unet", dtype)
    network = network.to(device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compile:
        network.compile()
    return SavedPrior(network, preconditioning, data_range, info)


def read_prior_info(folder: Path) -> dict[str, Any]:
    """Return what ``prior.json`` says, nothing where there is none.

    Raises:
        ValueError: A damaged file.
    """
    return _json(folder / "prior.json") if (folder / "prior.json").exists() else {}


def _check_pipeline(folder: Path) -> None:
    if (folder / "model_index.json").exists():
        parts = _json(folder / "model_index.json").keys() & {"vae", "vqvae", "movq", "text_encoder"}
        if parts:
            raise ValueError(
                f"{folder}: a pipeline with {min(parts)}: its network is not one of images alone"
            )
    if (folder / "config.json").exists() and not (folder / "unet").exists():
        raise ValueError(
            f"{folder}: a network alone: put it in unet/, beside a scheduler/scheduler_config.json "
            "that says what its output means"
        )


def _load_network(folder: Path, dtype: torch.dtype) -> nn.Module:
    from diffusers import UNet2DModel

    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: no config.json")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ValueError(f"{folder}: no weights as .safetensors (pickled ones are not loaded)")
    try:
        network: nn.Module
        network, found = UNet2DModel.from_pretrained(
            folder, torch_dtype=dtype, low_cpu_mem_usage=False, use_safetensors=True,
            local_files_only=True, output_loading_info=True,
        )  # fmt: skip
    # a damaged file fails in too many ways to list
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder}: not a readable UNet2DModel ({reason})") from error
    if missing := sorted(found["missing_keys"]):
        # diffusers leaves such layers as they were drawn
        raise ValueError(f"{folder}: the weights lack {len(missing)} tensors, such as {missing[0]}")
    return network


def _data_range(folder: Path, info: dict[str, Any]) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in info.get("data_range", (-1.0, 1.0)))
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high or math.isinf(high - low):
        raise ValueError(f"{folder}: expected data_range [low, high], got {info['data_range']}")
    return low, high


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable JSON file ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object")
    return content
