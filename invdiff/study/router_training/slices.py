"""Slices that a router learns from, and slices that are kept from it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from invdiff.study.base import Config, SampleName
from invdiff.study.prior import PriorConfig
from invdiff.study.slices import SliceSource, SplitConfig, spread_rows
from invdiff.training.slice_set import SliceSet

__all__ = ["ExpertSlices", "SlicedExpert", "grey_images"]


class ExpertSlices(NamedTuple):
    """Slices of one expert, ``(slices, size, size)`` in [-1, 1].

    Args:
        training: For the router.
        heldout: To judge it by.
        by_subject: Whether these are of other people.
    """

    training: Tensor
    heldout: Tensor
    by_subject: bool


class SlicedExpert(Config):
    """An expert, and images like those that it was trained on.

    Args:
        prior: The denoiser.
        slices: Where they are.
        fallback: The sample that is read if they are not there.
        split: Which are kept from the training of the router.
    """

    prior: PriorConfig
    slices: SliceSource
    fallback: SampleName | None = None
    split: SplitConfig = SplitConfig()

    def check(self) -> None:
        """Refuse slices that aren't there.

        Raises:
            ValueError: One line: which.
        """
        self.slices.check(self.fallback)

    def read(self, num_heldout: int) -> ExpertSlices:
        """Return both parts; of the held-out slices at most so many, spread over all of them.

        Raises:
            ValueError: One line: what can't be read, or slices that aren't square and grey.
        """
        split = self.split.split(self.slices.read(self.fallback))
        heldout = split.heldout
        judged = heldout.subset(spread_rows(len(heldout), num_heldout).tolist())
        return ExpertSlices(grey_images(split.training), grey_images(judged), split.by_subject)


def grey_images(slices: SliceSet) -> Tensor:
    """Return slices as images ``(slices, size, size)`` in [-1, 1].

    Raises:
        ValueError: Slices of several channels, or that aren't square.
    """
    _, channels, height, width = slices.values.shape
    if channels != 1 or height != width:
        raise ValueError(
            f"slices: expected squares of one channel, got {channels} x {height} x {width}"
        )
    return slices.images()[:, 0]
