"""The prior that a router makes of experts, as a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from invdiff.priors.experts import RoutedPrior
from invdiff.priors.folder import read_prior_info
from invdiff.priors.pretrained import list_priors, load_prior, prior_folder
from invdiff.priors.router_network import RouterNetwork
from invdiff.training.router_folder import load_router, save_router
from invdiff.training.weights import read_settings

__all__ = [
    "copied_experts",
    "is_routed",
    "load_routed_prior",
    "prior_info",
    "save_routed_prior",
]

_EXPERTS, _ROUTER = "experts.json", "router"


def save_routed_prior(
    folder: str | os.PathLike[str],
    experts: Sequence[str],
    router: RouterNetwork,
    info: dict[str, Any],
    *,
    top: int | None = None,
) -> None:
    """Write ``experts.json`` and the folder ``router``.

    Args:
        folder: Made if it isn't there.
        experts: Names of shipped priors, or folders inside of this one, relative to it; in the
            order of the router's outputs.
        router: The trained router.
        info: Title, licence, ...
        top: See ``RoutedPrior``.

    Raises:
        ValueError: Another number of experts than the router has, or a folder that isn't inside.
    """
    path = Path(folder)
    for expert in experts:
        _located(path, expert)
    _check_count(path, experts, router)
    path.mkdir(parents=True, exist_ok=True)
    save_router(path / _ROUTER, router, info)
    content = {"info": info, "experts": list(experts), "router": _ROUTER, "top": top}
    (path / _EXPERTS).write_text(json.dumps(content, indent=2) + "\n")


def copied_experts(
    folder: str | os.PathLike[str], priors: Sequence[str | os.PathLike[str]]
) -> list[str]:
    """Copy priors that don't ship into a folder, and name all as ``save_routed_prior`` takes them.

    Args:
        folder: Made if it isn't there.
        priors: Names of shipped priors, or folders anywhere; one that is given twice is copied
            once.

    Raises:
        ValueError: No such prior, or one that is itself routed.
    """
    names: dict[str, str] = {}
    for prior in map(str, priors):
        if is_routed(prior):
            raise ValueError(f"{prior}: expected a prior of one network, this one has experts")
        if prior not in names and prior not in list_priors():
            names[prior] = f"expert_{len(names)}"
            shutil.copytree(prior_folder(prior), Path(folder) / names[prior])
    return [names.get(prior, prior) for prior in map(str, priors)]


def is_routed(name_or_path: str | os.PathLike[str]) -> bool:
    """Return whether that is the folder of ``save_routed_prior``.

    Args:
        name_or_path: Of any prior, see ``load_prior``.

    Raises:
        ValueError: No such prior or folder.
    """
    return (prior_folder(name_or_path) / _EXPERTS).is_file()


def prior_info(name_or_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a folder says about its prior, without reading the networks.

    Args:
        name_or_path: Of any prior, see ``load_prior``.

    Raises:
        ValueError: No such prior, or a damaged file.
    """
    folder = prior_folder(name_or_path)
    if is_routed(folder):
        info: dict[str, Any] = read_settings(folder / _EXPERTS)["info"]
        return info
    return read_prior_info(folder)


def load_routed_prior(
    folder: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    chunk_size: int | None = None,
    channels_last: bool = True,
    compile: bool = False,
    size: tuple[int, int] | None = None,
    top: int | None = None,
) -> RoutedPrior:
    """Read a prior of several experts and their router, without network access.

    ``experts.json`` names "experts", shipped priors or folders inside of this one, the "router",
    a folder of ``save_router`` inside, and perhaps "top".

    Args:
        folder: What ``save_routed_prior`` wrote.
        device: Where the networks run.
        dtype: Precision of the experts; the router, small, keeps single precision.
        chunk_size: Images per call of an expert, see ``PretrainedPrior``.
        channels_last: See ``load_prior``.
        compile: See ``load_prior``.
        size: Rows and columns of the images if not those that the router was trained on, see
            ``PretrainedPrior``.
        top: In place of that of the folder, see ``RoutedPrior``.

    Raises:
        ValueError: A file that is missing or damaged, a path that leads out of the folder, or
            experts that don't go together.
    """
    path = prior_folder(folder)
    found = read_settings(path / _EXPERTS)
    names, router, kept = found.get("experts"), found.get("router", _ROUTER), found.get("top")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in (*names, router)):
        raise ValueError(f'{path / _EXPERTS}: expected names of "experts" and of a "router"')
    if not (kept is None or type(kept) is int):
        raise ValueError(f"{path / _EXPERTS}: expected top as an integer or null, got {kept!r}")
    network = load_router(_inside(path, router), device=device)
    _check_count(path, names, network)
    experts = [
        load_prior(
            _located(path, name), device=device, dtype=dtype, chunk_size=chunk_size,
            channels_last=channels_last, compile=compile, size=size or _size(network),
        )
        for name in names
    ]  # fmt: skip
    try:
        return RoutedPrior(experts, network, top=top or kept, info=found["info"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _size(router: RouterNetwork) -> tuple[int, int] | None:
    shape = router.settings.image_shape
    return (shape[-2], shape[-1]) if len(shape) > 1 else None


def _located(folder: Path, name: str) -> str | Path:
    return name if name in list_priors() else _inside(folder, name)


def _inside(folder: Path, name: str) -> Path:
    """Return a path in a folder; a shared one must not read other files of who loads it."""
    root = folder.resolve()
    found = (root / name).resolve()
    if not found.is_relative_to(root) or found == root:
        raise ValueError(f"{folder}: expected the name of a folder inside, got {name}")
    return found


def _check_count(folder: Path, experts: Sequence[str], router: RouterNetwork) -> None:
    if len(experts) != router.settings.num_experts:
        raise ValueError(
            f"{folder}: {len(experts)} experts, but the router knows {router.settings.num_experts}"
        )
