"""The figures of a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from invdiff.study.baselines import TITLES
from invdiff.study.panels import (
    add_colorbar,
    detail_of,
    draw_detail,
    draw_measurement,
    draw_window,
    make_grid,
)
from invdiff.study.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["comparison", "errors", "heldout", "misfit", "title_of", "uncertainty"]

# the others are called as their classes are
_SAMPLERS = {"red-diff": "RED-diff", "afdps": "AFDPS"}
_NUM_RINGS = 12
_ACCENT, _GREY = "#b5482a", "#667085"


def title_of(result: Result, name: str) -> str:
    """Return the name of a baseline's method, or of the sampler for ""."""
    sampler = result.experiment.sampler
    return TITLES[name] if name else _SAMPLERS.get(sampler.kind, sampler.method.__name__)


def comparison(result: Result) -> Figure:
    """Show truth, measurement and all results in one grey window, and a detail of each."""
    pictures = {"truth": result.arrays["truth"]} if "truth" in result.arrays else {}
    # the measurement stands after the truth, before what was made of it
    at = len(pictures)
    pictures |= result.images
    figure, axes = make_grid(result, 2, len(pictures) + 1)
    part = detail_of(pictures.get("truth", pictures[""]))
    columns = [c for c in range(len(pictures) + 1) if c != at]
    for column, (name, picture) in zip(columns, pictures.items(), strict=True):
        draw_detail(axes[:, column], result, picture, part)
        axes[0, column].set_title(_label(result, name), fontsize=9)
    draw_measurement(axes[0, at], result)
    draw_window(axes[1, at], result)
    return figure


def errors(result: Result) -> Figure | None:
    """Show result minus truth on one symmetric scale; None without a truth."""
    truth, images = result.arrays.get("truth"), result.images
    if truth is None:
        return None
    unit, factor = _error_unit(result)
    limit = _error_limit(result) * factor
    figure, axes = make_grid(result, 1, len(images), colorbar=True)
    for axis, (name, image) in zip(axes[0], images.items(), strict=True):
        error = (image - truth) * factor
        drawn = axis.imshow(error, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect=result.aspect)
        axis.set_title(title_of(result, name), fontsize=9)
    add_colorbar(figure, axes[0], drawn, f"result minus truth ({unit})", "both")
    return figure


def uncertainty(result: Result) -> Figure | None:
    """Show the standard deviation over the samples, and the error beside it if known."""
    std, truth = result.arrays.get("std"), result.arrays.get("truth")
    if std is None:
        return None
    unit, factor = _error_unit(result)
    panels = {"Standard deviation of the samples": std * factor}
    if truth is not None:
        panels["Absolute error of their mean"] = abs(result.images[""] - truth) * factor
    figure, axes = make_grid(result, 1, len(panels), colorbar=True)
    high = float(np.percentile(std, 99.5)) * factor or 1.0
    for axis, (name, panel) in zip(axes[0], panels.items(), strict=True):
        drawn = axis.imshow(panel, cmap="magma", vmin=0, vmax=high, aspect=result.aspect)
        axis.set_title(name, fontsize=9)
    add_colorbar(figure, axes[0], drawn, unit, "max")
    return figure


def misfit(result: Result) -> Figure:
    """Show the residual in units of the noise: along the iteration, and of each method."""
    return _two_plots(result, 2.6, _draw_trace, _draw_residuals)


def _two_plots(
    result: Result, height: float, left: Callable[..., None], right: Callable[..., None]
) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    for axis, draw in zip(figure.subplots(1, 2), (left, right), strict=True):
        draw(axis, result)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def heldout(result: Result) -> Figure | None:
    """Show the residual of held-out samples: in all, and by their place in k-space."""
    if "heldout_radius" not in result.arrays:
        return None
    return _two_plots(result, 2.8, _draw_heldout, _draw_profile)


def _draw_heldout(axis: Axes, result: Result) -> None:
    values = {name: result.metric("heldout_nrmse", name) or 0.0 for name in result.images}
    labels = [title_of(result, name) for name in values]
    axis.barh(labels, list(values.values()), color=[_GREY if n else _ACCENT for n in values])
    floor = result.metrics["heldout_noise_floor"]
    axis.axvline(floor, color="black", linestyle="--", linewidth=1)
    for row, value in enumerate(values.values()):
        axis.text(0.005, row, f"{value:.3f}", va="center", color="white", fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("NRMSE of held-out samples (dashed: noise alone)", fontsize=8)


def _draw_profile(axis: Axes, result: Result) -> None:
    radius = result.arrays["heldout_radius"]
    # rings of about equally many locations, from the centre outwards
    rings = np.array_split(np.argsort(radius), min(_NUM_RINGS, len(radius)))
    centres = [radius[ring].mean() for ring in rings]
    for index, name in enumerate(result.images):
        residual = result.arrays[f"heldout_residual_{name}" if name else "heldout_residual"]
        means = [np.sqrt((residual[ring] ** 2).mean()) for ring in rings]
        color = f"C{index}" if name else _ACCENT
        axis.plot(centres, means, color=color, marker=".", label=title_of(result, name))
    axis.axhline(1, color=_GREY, linestyle="--", linewidth=1)
    axis.set_ylim(bottom=0)
    axis.set_xlabel("distance from the centre of k-space", fontsize=8)
    axis.set_ylabel("held-out residual / noise", fontsize=8)
    axis.legend(fontsize=8, frameon=False)


def _draw_trace(axis: Axes, result: Result) -> None:
    trace = result.arrays["misfit"]
    axis.plot(np.arange(1, len(trace) + 1), trace, color=_ACCENT)
    axis.axhline(1, color=_GREY, linestyle="--", linewidth=1)
    axis.set_xlabel(f"step of {title_of(result, '')}", fontsize=8)
    axis.set_ylabel("residual / noise", fontsize=8)
    if max(trace) > 10:
        axis.set_yscale("log")
    else:
        axis.set_ylim(0, 1.1 * max(1, *trace))


def _draw_residuals(axis: Axes, result: Result) -> None:
    values = {name: result.metric("residual_over_noise", name) or 0.0 for name in result.images}
    labels = [title_of(result, name) for name in values]
    axis.barh(labels, list(values.values()), color=[_GREY if n else _ACCENT for n in values])
    axis.axvline(1, color="black", linestyle="--", linewidth=1)
    for row, value in enumerate(values.values()):
        axis.text(0.04, row, f"{value:.2f}", va="center", color="white", fontsize=8)
    # some classical images are far off: the numbers say by how much
    axis.set_xlim(0, min(max(2.0, 1.05 * max(values.values())), 5.0))
    axis.invert_yaxis()
    axis.set_xlabel("residual / noise", fontsize=8)


def _label(result: Result, name: str) -> str:
    if name == "truth":
        return "Truth\n"
    psnr, ssim = result.metric("psnr", name), result.metric("ssim", name)
    scores = "" if psnr is None or ssim is None else f"{psnr:.1f} dB, SSIM {ssim:.3f}"
    heldout = result.metric("heldout_nrmse", name)
    scores = scores if heldout is None else f"held-out NRMSE {heldout:.3f}"
    return f"{title_of(result, name)}\n{scores}"


def _error_unit(result: Result) -> tuple[str, float]:
    """Unit of differences, and how many of it make one of the result's values."""
    if result.units.name == "HU":
        return "HU", 1.0
    return "% of the range", 100 / result.units.data_range


def _error_limit(result: Result) -> float:
    """What all but one per cent of the best classical result's errors are below."""
    images, truth = result.images, result.arrays["truth"]
    compared = [image for name, image in images.items() if name] or [images[""]]
    limit = min(float(np.percentile(abs(image - truth), 99)) for image in compared)
    # one digit: round numbers on the colour bar
    return float(f"{limit or 1.0:.1g}")
