"""A trained router as a folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from invdiff.priors.router_network import RouterNetwork, RouterSettings
from invdiff.training.weights import read_settings, read_weights, write_weights

__all__ = ["load_router", "save_router"]

_SETTINGS, _WEIGHTS = "router.json", "router.safetensors"


def save_router(
    folder: str | os.PathLike[str], network: RouterNetwork, info: dict[str, Any]
) -> None:
    """Write ``router.json`` and ``router.safetensors``.

    Args:
        folder: Made if it isn't there.
        network: The trained router.
        info: On what it was trained, its scores, licence, ...
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    write_weights(path / _WEIGHTS, network)
    settings = {"info": info, "settings": asdict(network.settings)}
    (path / _SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")


def load_router(
    folder: str | os.PathLike[str], *, device: torch.device | str = "cpu"
) -> RouterNetwork:
    """Read what ``save_router`` wrote; its parameters want no gradient.

    Raises:
        ValueError: A file that is missing or damaged, or that doesn't fit the other.
    """
    path = Path(folder) / _SETTINGS
    found = read_settings(path)
    try:
        network = RouterNetwork(RouterSettings(**found["settings"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not the settings of a router ({error})") from error
    read_weights(Path(folder) / _WEIGHTS, network)
    return network.eval().requires_grad_(False).to(device)
