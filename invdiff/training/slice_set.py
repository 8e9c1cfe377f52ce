"""Slices to learn from, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["SliceSet", "without_channel"]


@dataclass(frozen=True, eq=False)
class SliceSet:
    """Images in the range of a prior, [-1, 1], with the subject and the class of each.

    Args:
        values: ``(slices, channels, height, width)``: uint8, 0 to 255 for [-1, 1], or floating
            point as it is. One channel is a magnitude, two are real and imaginary part.
        subjects: A name for each slice; "" where nobody knows.
        labels: ``(slices,)`` int64, indices of classes; None if there are none.
        classes: Their names, such as ``("T1", "FLAIR")``.

    Raises:
        ValueError: Numbers of slices that differ, labels without a class, or values of another
            type or not finite.
    """

    values: Tensor
    subjects: tuple[str, ...]
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or 0 in self.values.shape:
            raise ValueError(
                "SliceSet: expected values (slices, channels, height, width), "
                f"got {tuple(self.values.shape)}"
            )
        floating = self.values.is_floating_point()
        if not (floating and self.values.isfinite().all()) and self.values.dtype != torch.uint8:
            raise ValueError(f"SliceSet: expected uint8 or finite numbers, got {self.values.dtype}")
        if len(self.subjects) != len(self):
            raise ValueError(f"SliceSet: {len(self)} slices, but {len(self.subjects)} subjects")
        if (self.labels is None) != (not self.classes):
            raise ValueError("SliceSet: labels and classes go together")
        if self.labels is not None and (
            self.labels.shape != (len(self),)
            or not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes)
        ):
            raise ValueError(f"SliceSet: expected a label of {self.classes} for each slice")

    def __len__(self) -> int:
        return len(self.values)

    def images(self, index: Tensor | slice = slice(None)) -> Tensor:
        """Return slices as float32 images in [-1, 1].

        Args:
            index: Which; int64, on the device of the values.
        """
        chosen = self.values[index].float()
        return 2 * chosen / 255 - 1 if self.values.dtype == torch.uint8 else chosen

    def subset(self, index: Sequence[int]) -> SliceSet:
        """Return some of the slices."""
        rows = torch.as_tensor(index, dtype=torch.int64)
        return SliceSet(
            self.values[rows.to(self.values.device)],
            tuple(self.subjects[i] for i in index),
            None if self.labels is None else self.labels[rows.to(self.labels.device)],
            self.classes,
        )

    def to(self, device: torch.device | str) -> SliceSet:
        """Return the slices and their labels on a device."""
        labels = None if self.labels is None else self.labels.to(device)
        return SliceSet(self.values.to(device), self.subjects, labels, self.classes)


def without_channel(images: Tensor) -> Tensor:
    """Return images ``(batch, channels, height, width)`` as priors take them.

    Those of one channel lose its axis.
    """
    return images[:, 0] if images.shape[1] == 1 else images
