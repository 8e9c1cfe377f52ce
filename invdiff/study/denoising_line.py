"""How well a prior denoises, as a line against the noise level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["decibels", "draw_denoising", "label_levels"]


def decibels(errors: NDArray[Any]) -> NDArray[np.float64]:
    """Return the PSNR of slices pooled, ``(levels,)``.

    Args:
        errors: Mean square error of each slice over the square of the width of the range,
            ``(levels, slices)``.
    """
    return np.asarray(-10 * np.log10(errors.mean(1)), dtype=np.float64)


def draw_denoising(
    axis: Axes,
    sigmas: Sequence[float],
    errors: NDArray[Any],
    subjects: NDArray[Any],
    *,
    label: str,
    color: str,
    thin: str,
) -> None:
    """Draw the PSNR of all slices together, and thin lines of single subjects if there are some.

    Args:
        axis: Where to.
        sigmas: Noise levels.
        errors: As for ``decibels``.
        subjects: Whose each slice is.
        label: Of the line.
        color: Of the line.
        thin: Colour of those of subjects.
    """
    people = sorted(set(subjects.tolist()))
    for person in people if len(people) > 1 else ():
        axis.plot(sigmas, decibels(errors[:, subjects == person]), color=thin, linewidth=0.7)
    axis.plot(sigmas, decibels(errors), "o-", color=color, label=label)


def label_levels(axis: Axes, sigmas: Sequence[float]) -> None:
    """Name the axes of such lines, and add the legend."""
    axis.set_xscale("log")
    axis.set_xticks(sigmas, [f"{sigma:g}" for sigma in sigmas])
    axis.minorticks_off()
    axis.set(xlabel="noise level, images in [-1, 1]", ylabel="PSNR (dB)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
