"""Reference and held-out pairs of super-resolution, from scans whose subjects differ."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch
from pydantic import PositiveFloat
from torch import Tensor

from invdiff.rng import derive_generator
from invdiff.study.base import Config
from invdiff.study.laboratory.volume_scans import ScanSource, VolumeScan, read_scans
from invdiff.superres.network_prior import SuperResolutionPrior
from invdiff.superres.pairs import Pairs
from invdiff.training import cropped

__all__ = ["BoundaryTask", "TaskPairs", "task_pairs"]

_log = logging.getLogger(__name__)

# places that are drawn for a reference, and the spread of one that isn't flat (of [-1, 1])
_NUM_PLACES, _LEAST_STD = 8, 0.02


class BoundaryTask(Config):
    """What is enlarged, and by which prior.

    Args:
        prior: One of ``list_super_resolution_priors()``, or a folder.
        references: Scans that a boundary is searched on.
        held_out: Scans of other subjects, which judge it.
        fallback: Sample that serves as both, slice by slice, if no scan is there.
        pixel_mm: Edge of the pixels; by default the grid is filled with the field of view.
    """

    prior: str
    references: tuple[ScanSource, ...] = ()
    held_out: tuple[ScanSource, ...] = ()
    fallback: str
    pixel_mm: PositiveFloat | None = None


class TaskPairs(NamedTuple):
    """The pairs of a task, images in [-1, 1].

    Args:
        parts: Small references, on which boundaries are searched.
        whole: The slices that they were cut from.
        held_out: Whole slices.
        by_subject: Whether they are of other subjects than the references.
    """

    parts: Pairs
    whole: Pairs
    held_out: Pairs
    by_subject: bool


def task_pairs(
    name: str,
    task: BoundaryTask,
    prior: SuperResolutionPrior,
    *,
    size: int,
    part: int,
    counts: tuple[int, int, int],
    seed: int,
) -> TaskPairs:
    """Read the scans and measure their slices without noise.

    Args:
        name: Of the task.
        task: Where the scans are.
        prior: Says how they are measured.
        size: Rows and columns of whole slices.
        part: Of the small references.
        counts: Of small references, whole ones and held-out slices.
        seed: Of the places of the small references.

    Raises:
        ValueError: One line: what is missing or cannot be used.
    """
    seen, unseen, by_subject = _slices(name, task, size, counts[1:])
    generator = derive_generator(seed, name, "parts")
    parts = _detailed_parts(seen, part, counts[0], generator)
    on_parts, whole, held_out = (_measured(images, prior) for images in (parts, seen, unseen))
    return TaskPairs(on_parts, whole, held_out, by_subject)


def _detailed_parts(slices: Tensor, part: int, count: int, generator: torch.Generator) -> Tensor:
    """Return parts from anywhere but flat air, where every boundary is as good."""
    rows = torch.arange(_NUM_PLACES * count) % len(slices)
    places = cropped(slices[rows], part, generator)
    detailed = places[places.flatten(1).std(1) > _LEAST_STD]
    # slices of little else than air give what they have
    return torch.cat([detailed, places])[:count]


def _slices(
    name: str, task: BoundaryTask, size: int, counts: tuple[int, int]
) -> tuple[Tensor, Tensor, bool]:
    """Return slices of references and held-out scans, and whether these are other subjects."""

    def read(sources: Sequence[ScanSource], fallback: str | None) -> list[VolumeScan]:
        return read_scans(sources, fallback, "all", size, task.pixel_mm)

    found = read((*task.references, *task.held_out), task.fallback)
    if len(found) == len(task.references) + len(task.held_out):
        cut = len(task.references)
        return _spread(found[:cut], counts[0]), _spread(found[cut:], counts[1]), True
    _log.warning("%s: references and held-out slices are of one subject", name)
    slices = _scaled(found[0])
    return slices[0::2][: counts[0]], slices[1::2][: counts[1]], False


def _spread(scans: Sequence[VolumeScan], count: int) -> Tensor:
    """Return slices of the middle halves of the scans, evenly spread, as many of each."""
    each = -(-count // len(scans))
    chosen = []
    for scan in scans:
        slices = _scaled(scan)
        index = torch.linspace(0.25, 0.75, each, dtype=torch.float64) * (len(slices) - 1)
        chosen.append(slices[index.round().long()])
    return torch.cat(chosen)[:count]


def _scaled(scan: VolumeScan) -> Tensor:
    return 2 * torch.from_numpy(scan.units.relative(scan.placed.values)) - 1


def _measured(images: Tensor, prior: SuperResolutionPrior) -> Pairs:
    images = images.to(next(prior.network.parameters()).device)
    return Pairs(prior.operator((images.shape[-2], images.shape[-1]))(images), images)
