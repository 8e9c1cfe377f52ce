"""Slices that a router of shipped priors learns from, and slices of people nobody learnt from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.study.base import Config
from invdiff.study.config import PriorConfig
from invdiff.study.laboratory.image_tasks import SLICE_SIZE, Task, small_slices
from invdiff.study.slices import SliceSource

__all__ = ["ExpertConfig", "ExpertSlices"]

_log = logging.getLogger(__name__)


class ExpertConfig(Config):
    """An expert, what it knows, and what it is judged by.

    Args:
        prior: The denoiser.
        slices: An archive of slices of 256 x 256 like those that it was trained on; without it,
            every other slice of the sample.
        sample: A shipped series of somebody whom neither prior nor archive has seen.
        task: Which measurement of the sample is reconstructed.
    """

    prior: PriorConfig
    slices: str | None = None
    sample: str
    task: Task


class ExpertSlices(NamedTuple):
    """Slices of one modality, ``(slices, size, size)`` in [-1, 1].

    Args:
        training: For the router.
        heldout: To judge it by.
        by_subject: Whether these are of other people.
    """

    training: Tensor
    heldout: Tensor
    by_subject: bool

    @classmethod
    def read(cls, config: ExpertConfig, size: int, count: int) -> ExpertSlices:
        """Read both on a coarser grid, of averaged pixels.

        Args:
            config: Says where.
            size: Rows and columns, a divisor of 256.
            count: Of slices of the archive, evenly spread.

        Raises:
            ValueError: One line: what cannot be read.
        """
        sample = 2 * small_slices(config.sample, size).float() - 1
        if config.slices is not None and Path(config.slices).exists():
            values = SliceSource(path=config.slices).read().values
            if values.shape[1:] != (SLICE_SIZE, SLICE_SIZE):
                raise ValueError(
                    f"slices: expected {SLICE_SIZE} rows and columns, got {tuple(values.shape)}"
                )
            rows = torch.linspace(0, len(values) - 1, min(count, len(values))).round().long()
            return cls(_coarser(values[rows], size), sample, True)
        _log.warning("%s: router and test see slices of one person", config.sample)
        return cls(sample[0::2], sample[1::2], False)


def _coarser(values: Tensor, size: int) -> Tensor:
    factor = SLICE_SIZE // size
    blocks = values.float().reshape(-1, size, factor, size, factor)
    return 2 * blocks.mean((2, 4)) / 255 - 1
