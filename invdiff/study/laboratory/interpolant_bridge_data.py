"""The slices and the scan of the study of restoration by a bridge."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from invdiff.classical import fbp
from invdiff.interpolants.measured_coupling import MeasuredCoupling
from invdiff.likelihood import Likelihood
from invdiff.study.laboratory.volume_scans import ScanSource, read_scans
from invdiff.study.slices import SliceSource, SplitConfig, grey_levels
from invdiff.training import mirrored
from invdiff.training.slice_set import SliceSet
from operators import GaussianNoise, ImageGrid, ParallelBeam2D, ParallelGeometry

__all__ = ["SparseScan", "StudySlices", "read_slices", "sparse_scan"]

_log = logging.getLogger(__name__)

_CHUNK = 64
# part of a stack that is judged on, from its first to its last slice
_MIDDLE = (0.3, 0.7)


class StudySlices(NamedTuple):
    """Images in [0, 1], CT over 2.5 times water.

    Args:
        training: ``(slices, size, size)``.
        heldout: The same, never learnt from.
        by_subject: Whether these are of other subjects.
    """

    training: Tensor
    heldout: Tensor
    by_subject: bool


@dataclass(frozen=True, eq=False)
class SparseScan:
    """How the slices are measured; lengths in pixels.

    Args:
        operator: Parallel beams from few directions.
        noise: White.
    """

    operator: ParallelBeam2D
    noise: GaussianNoise

    def measured(self, images: Tensor, generator: torch.Generator) -> Likelihood:
        """Measure images ``(*batch, size, size)``."""
        y = self.noise.sample(self.operator(images), generator=generator)
        return Likelihood(self.operator, self.noise, y)

    def coupling(self, slices: Tensor) -> MeasuredCoupling:
        """Return pairs of slices, turned and mirrored at random, and their back-projections."""

        def images(count: int, generator: torch.Generator) -> Tensor:
            device = generator.device
            rows = torch.randint(len(slices), (count,), generator=generator, device=device)
            return mirrored(slices[rows], generator).unsqueeze(1)

        return MeasuredCoupling(images, self.operator, self.noise, fbp)

    def spread(self, slices: Tensor, generator: torch.Generator) -> float:
        """Return the root mean square of what back-projections are off by."""
        x0, x1, _ = self.coupling(slices).draw(_CHUNK, generator)
        # a measured coupling always has both ends
        return float((x1 - x0).square().mean().sqrt()) if x0 is not None else 0.0


def sparse_scan(slices: Tensor, views: int, noise: float) -> SparseScan:
    """Return the scan.

    Args:
        slices: Whose largest line integral is the unit of the noise, ``(slices, size, size)``.
        views: Directions over half a turn.
        noise: Standard deviation of each line integral, as a share of that.
    """
    size = slices.shape[-1]
    grid = ImageGrid((size, size), (1.0, 1.0))
    operator = ParallelBeam2D(grid, ParallelGeometry.covering(grid, views, math.pi))
    operator = operator.to(slices.device)
    largest = max(float(operator(part).max()) for part in torch.split(slices, _CHUNK))
    return SparseScan(operator, GaussianNoise(noise * largest))


def read_slices(
    source: SliceSource,
    scans: Sequence[ScanSource],
    holdout: SplitConfig,
    fallback: str | None,
    size: int,
    num_slices: int,
) -> StudySlices:
    """Read what is learnt from and what it is judged on.

    Args:
        source: Of the training.
        scans: Of other subjects; without them part of the source is held out.
        holdout: Which part.
        fallback: Sample that takes the place of the source, and of the scans.
        size: Rows and columns; the slices of an archive are averaged down to it.
        num_slices: Held-out slices, as many of each scan.

    Raises:
        ValueError: What is missing or can't be used.
    """
    slices = source.read(fallback)
    side = slices.values.shape[-1]
    if scans and (fallback is None or Path(scans[0].path).exists()):
        found = read_scans(scans, None, "all", side, None)
        each = -(-num_slices // len(found))
        chosen = [_middle(torch.from_numpy(s.units.relative(s.placed.values)), each) for s in found]
        heldout = torch.cat(chosen)[:num_slices]
        return StudySlices(_shares(slices, size), _reduced(heldout, size), True)
    if scans:
        _log.warning("no scans of other subjects are there: part of the slices is held out")
    parts = holdout.split(slices)
    heldout = _middle(_shares(parts.heldout, size), num_slices)
    return StudySlices(_shares(parts.training, size), heldout, parts.by_subject)


def _shares(slices: SliceSet, size: int) -> Tensor:
    return _reduced(grey_levels(slices) / 255, size)


def _middle(stack: Tensor, count: int) -> Tensor:
    """Return slices that are spread evenly over the middle of a stack."""
    share = torch.linspace(*_MIDDLE, min(count, len(stack)), dtype=torch.float64)
    return stack[(share * (len(stack) - 1)).round().long()]


def _reduced(slices: Tensor, size: int) -> Tensor:
    factor, rest = divmod(slices.shape[-1], size)
    if rest or not factor:
        raise ValueError(f"size: expected a divisor of {slices.shape[-1]}, got {size}")
    return avg_pool2d(slices.unsqueeze(1), factor).squeeze(1)
