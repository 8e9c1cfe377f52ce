"""The figures of a training of a super-resolution prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from invdiff.study.laboratory.sr_training_scores import decibels
from invdiff.study.loss_line import draw_loss
from invdiff.study.scripted import Arrays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["denoising", "loss", "samples"]

_ACCENT, _BLUE, _GREY = "#b5482a", "#2f6f9f", "#98a2b3"
_PANEL = 1.75
# samples shown beside each other
_SHOWN = 2
_WINDOW = (-1.0, 1.0)


def loss(arrays: Arrays, heldout: float) -> Figure:
    """Show the loss of every step, its running mean, and that of what was kept from it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    highest = draw_loss(axis, arrays["loss"], "training")
    axis.axhline(heldout, color=_BLUE, linestyle="--", label="held out, averaged weights")
    # single batches may be far off
    top = 1.1 * max(heldout, highest)
    axis.set(xlabel="step", ylabel="weighted denoising loss", ylim=(0, top))
    _finish(axis)
    return figure


def denoising(arrays: Arrays) -> Figure:
    """Show the gain over bicubic enlargement against the noise level."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axis = figure.subplots()
    sigmas, bicubic = arrays["sigmas"], decibels(arrays["bicubic"])
    lines = {"denoised": ("network", _ACCENT), "shrunk": ("spread of the residual alone", _BLUE)}
    for name, (label, color) in lines.items():
        axis.plot(sigmas, decibels(arrays[name]) - bicubic, "o-", color=color, label=label)
    axis.axhline(0, color=_GREY, linestyle="--", label="bicubic, no noise")
    axis.set_xscale("log")
    axis.set_xticks(sigmas, [f"{s:g}" for s in sigmas])
    axis.minorticks_off()
    axis.set(xlabel="noise level, images in [-1, 1]", ylabel="PSNR minus that of bicubic (dB)")
    _finish(axis)
    return figure


def samples(arrays: Arrays) -> Figure:
    """Show coarse image, enlargement, samples, their mean and the truth, an image a row."""
    from matplotlib.figure import Figure

    panels = _panels(arrays)
    rows = len(arrays["truth"])
    size = (_PANEL * len(panels), (_PANEL + 0.22) * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, len(panels), squeeze=False)
    for column, (name, (pictures, scores)) in enumerate(panels.items()):
        for row, axis in enumerate(axes[:, column]):
            low, high = _WINDOW
            axis.imshow(pictures[row], cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if scores is not None:
                axis.set_xlabel(f"{scores[row]:.1f} dB", fontsize=7, labelpad=2)
        axes[0, column].set_title(name, fontsize=9)
    return figure


def _panels(arrays: Arrays) -> dict[str, tuple[NDArray[Any], NDArray[Any] | None]]:
    """Return pictures and their PSNR by title, from left to right."""
    drawn = arrays["samples"]
    shown = {
        f"sample {k + 1}": (drawn[k], arrays["psnr_samples"][k])
        for k in range(min(_SHOWN, len(drawn)))
    }
    return {
        "coarse": (arrays["coarse"], None),
        "bicubic": (arrays["enlarged"], arrays["psnr_bicubic"]),
        **shown,
        f"mean of {len(drawn)}": (drawn.mean(0), arrays["psnr_mean"]),
        "truth": (arrays["truth"], None),
    }


def _finish(axis: Axes) -> None:
    axis.legend(fontsize=8, frameon=False)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
