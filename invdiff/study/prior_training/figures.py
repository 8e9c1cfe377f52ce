"""The figures of a training of a prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.denoising_line import draw_denoising, label_levels
from invdiff.study.loss_line import draw_loss
from invdiff.study.scripted import Arrays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["denoising", "length", "loss", "pictures"]

_ACCENT, _BLUE, _GREY = "#b5482a", "#2f6f9f", "#98a2b3"
_PANEL, _COLUMNS = 1.6, 8
# of noise in an image of the range [-1, 1], as a share of the width of the range
_WIDTH = 2.0


def loss(arrays: Arrays) -> Figure:
    """Show the loss of every step, its running mean, and that of slices kept from it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    highest = draw_loss(axis, arrays["loss"], "training, means of steps")
    steps, values = arrays["snapshot_steps"], arrays["snapshot_losses"]
    axis.plot(steps, values, "o-", color=_BLUE, label="held out, averaged weights")
    late = values[len(values) // 2 :].max()
    axis.set(xlabel="step", ylabel="loss", ylim=(0, min(1.1 * highest, 4 * late)))
    _finish(axis)
    return figure


def length(arrays: Arrays) -> Figure:
    """Show the held-out loss against the length of the average."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    axis = figure.subplots()
    axis.plot(arrays["lengths"], arrays["length_losses"], "o-", color=_ACCENT)
    axis.axvline(float(arrays["length"]), color=_GREY, linestyle="--", label="chosen")
    axis.set(xlabel="length of the average (share of the training)", ylabel="held-out loss")
    _finish(axis)
    return figure


def denoising(arrays: Arrays, sigmas: tuple[float, ...]) -> Figure:
    """Show the PSNR of denoised held-out slices against the noise level, and each subject's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axis = figure.subplots()
    draw_denoising(
        axis, sigmas, arrays["errors"], arrays["subjects"],
        label="denoised", color=_ACCENT, thin=_GREY,
    )  # fmt: skip
    noisy = -20 * np.log10(np.array(sigmas) / _WIDTH)
    axis.plot(sigmas, noisy, "--", color=_BLUE, label="noisy")
    label_levels(axis, sigmas)
    return figure


def pictures(images: NDArray[Any]) -> Figure:
    """Show images in [-1, 1] side by side; of complex ones the magnitude.

    Args:
        images: ``(images, height, width)`` or ``(images, 2, height, width)``.
    """
    from matplotlib.figure import Figure

    low, high = (-1, 1) if images.ndim == 3 else (0, 1)
    shown = images if images.ndim == 3 else np.linalg.norm(images, axis=1)
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(_PANEL * columns, (_PANEL + 0.2) * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes:
        axis.set_axis_off()
    for k, image in enumerate(shown):
        axes[k].imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    return figure


def _finish(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False, fontsize=8)
