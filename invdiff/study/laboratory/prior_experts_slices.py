"""Slices that a router of shipped priors learns from, and slices of people nobody learnt from."""

from __future__ import annotations

import logging
from pathlib import Path

from invdiff.study.base import Config
from invdiff.study.config import PriorConfig
from invdiff.study.laboratory.image_tasks import Task, small_slices
from invdiff.study.router_training.slices import ExpertSlices, grey_images
from invdiff.study.slices import SliceSource, spread_rows

__all__ = ["ExpertConfig"]

_log = logging.getLogger(__name__)


class ExpertConfig(Config):
    """An expert, what it knows, and what it is judged by.

    Args:
        prior: The denoiser.
        slices: An archive of slices like those that it was trained on; without it, every other
            slice of the sample.
        sample: A shipped series of somebody whom neither prior nor archive has seen.
        task: Which measurement of the sample is reconstructed.
    """

    prior: PriorConfig
    slices: str | None = None
    sample: str
    task: Task

    def read(self, size: int, count: int) -> ExpertSlices:
        """Read slices for the router and slices to judge it by, on a coarser grid.

        Args:
            size: Rows and columns, a divisor of 256.
            count: Of slices of the archive, evenly spread.

        Raises:
            ValueError: One line: what cannot be read.
        """
        sample = 2 * small_slices(self.sample, size).float() - 1
        if self.slices is not None and Path(self.slices).exists():
            slices = SliceSource(path=self.slices, size=size).read()
            chosen = slices.subset(spread_rows(len(slices), count).tolist())
            return ExpertSlices(grey_images(chosen), sample, True)
        _log.warning("%s: router and test see slices of one person", self.sample)
        return ExpertSlices(sample[0::2], sample[1::2], False)
