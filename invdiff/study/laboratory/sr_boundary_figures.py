"""Images and losses of the study of boundary conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from invdiff.study.laboratory.sr_boundary_runs import METRICS, BoundaryRun
from invdiff.study.laboratory.sr_boundary_tables import ON_WHOLE, boundary_names, title_of
from invdiff.study.scripted import Arrays, Metrics
from invdiff.superres.boundary import drawn_boundary, tiled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["images", "losses", "pictures_of"]

_ACCENT, _GREY, _BLUE = "#b5482a", "#98a2b3", "#2f6f9f"
_COLUMNS = ("truth", "measured", "bicubic", "random", "searched", "radial", "zero")
# random boundaries whose spread is drawn
_NUM_DRAWS = 8


@torch.no_grad()
def pictures_of(run: BoundaryRun, stored: Arrays) -> Arrays:
    """Return one held-out slice as several boundaries make it, and the spread of random ones."""
    y, truths = run.pairs.held_out
    y, truth = y[:1], truths[0]
    shape = (truth.shape[-2], truth.shape[-1])
    shared = {"searched": "searched-ms-ssim", "radial": "radial-ms-ssim"}
    starts = {k: torch.from_numpy(stored[f"boundary/{v}"]) for k, v in shared.items()}
    starts = {k: tiled(x, shape).to(truth) for k, x in starts.items()}
    starts["zero"] = torch.zeros_like(truth)
    drawn = {name: run.ode(x, y)[0] for name, x in starts.items()}
    draws = torch.stack(
        [
            run.ode(
                drawn_boundary(
                    run.seed, "picture", k, shape=shape, like=truth, device=truth.device
                ),
                y,
            )[0]
            for k in range(_NUM_DRAWS)
        ]
    )
    factor = run.prior.factor
    drawn |= {
        "truth": truth,
        "measured": y[0].repeat_interleave(factor, 0).repeat_interleave(factor, 1),
        "bicubic": run.prior.center(y)[0],
        "random": draws[0],
        "spread": draws.std(0),
    }
    return {name: image.float().cpu().numpy() for name, image in drawn.items()}


def images(arrays: Arrays, task: str) -> Figure:
    """Show the images of a slice, a part of them, and their errors."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.75 * len(_COLUMNS) + 0.6, 5.9), layout="constrained")
    axes = figure.subplots(3, len(_COLUMNS))
    truth = arrays[f"{task}/truth"]
    part = _most_varied_part(truth)
    low, high = -1.0, float(np.percentile(truth, 99.9))
    limit = float(f"{np.percentile(np.abs(arrays[f'{task}/bicubic'] - truth), 99):.1g}")
    shown: Any = None
    for column, name in enumerate(_COLUMNS):
        image = arrays[f"{task}/{name}"]
        axes[0, column].imshow(image, cmap="gray", vmin=low, vmax=high)
        axes[1, column].imshow(image[part], cmap="gray", vmin=low, vmax=high)
        if name == "truth":
            spread = arrays[f"{task}/spread"]
            axes[2, column].imshow(spread[part], cmap="magma", vmin=0, vmax=limit)
            axes[2, column].set_xlabel("spread of random", fontsize=7)
        else:
            error = (image - truth)[part]
            shown = axes[2, column].imshow(error, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes[0, column].set_title(_TITLES[name], fontsize=8)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.colorbar(shown, ax=axes[2, :], fraction=0.02, pad=0.01, label="minus truth (of [-1, 1])")
    return figure


def losses(metrics: Metrics, task: str, num_calls: Sequence[int]) -> Figure:
    """Show held-out and reference losses of all boundaries over those of random ones."""
    from matplotlib.figure import Figure

    names = boundary_names()[1:]
    figure = Figure(figsize=(10.5, 1.0 + 2.6 * len(num_calls)), layout="constrained")
    axes = figure.subplots(len(num_calls), len(METRICS), squeeze=False, sharey=True)
    for row, calls in zip(axes, num_calls, strict=True):
        for axis, metric in zip(row, METRICS, strict=True):
            _ratios(axis, metrics, f"{task}_{calls}_", metric, names)
            axis.set_title(f"{metric}, {calls} calls", fontsize=9)
    axes[0, 0].set_yticks(range(len(names)), [title_of(name) for name in names], fontsize=7)
    axes[0, 0].invert_yaxis()
    figure.supxlabel("loss over the mean of random x_T", fontsize=8)
    return figure


def _ratios(axis: Any, metrics: Metrics, prefix: str, metric: str, names: Sequence[str]) -> None:
    mean = metrics[f"{prefix}random_{metric}_held_out"]
    spread = 2 * metrics[f"{prefix}random_{metric}_held_out_std"] / mean
    reference = metrics[f"{prefix}random_{metric}_reference"]
    axis.axvspan(1 - spread, 1 + spread, color=_GREY, alpha=0.35, linewidth=0)
    axis.axvline(1, color=_GREY, linewidth=1)
    held = [metrics[f"{prefix}{name}_{metric}_held_out"] / mean for name in names]
    rows = range(len(names))
    on_parts = [row for row in rows if names[row] not in ON_WHOLE]
    seen = [metrics[f"{prefix}{names[row]}_{metric}_reference"] / reference for row in on_parts]
    axis.plot(seen, on_parts, "s", color=_BLUE, markersize=4, fillstyle="none")
    axis.plot(held, rows, "o", color=_ACCENT, markersize=5)
    if max(*held, *seen) > 2:
        axis.set_xscale("log")
    axis.tick_params(which="both", labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)


_TITLES = {
    "truth": "truth",
    "measured": "measured",
    "bicubic": "bicubic",
    "random": "random x_T",
    "searched": "searched x_T",
    "radial": "radial spectrum",
    "zero": "x_T = 0",
}


def _most_varied_part(truth: np.ndarray) -> tuple[slice, slice]:
    """Return the quarter of the width and height about which the truth varies most."""
    side = truth.shape[0] // 4
    steps = range(0, truth.shape[0] - side + 1, max(1, side // 4))
    places = [(r, c) for r in steps for c in steps]
    row, column = max(places, key=lambda p: truth[p[0] : p[0] + side, p[1] : p[1] + side].std())
    return slice(row, row + side), slice(column, column + side)
