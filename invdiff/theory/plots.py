"""Figures of samples against what is exact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.priors import GaussianMixturePrior
from invdiff.theory.cloud import Cloud, weighted_points
from invdiff.theory.ranks import rank_counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["coverage_plot", "density_plot", "qq_plot", "rank_histogram"]

Lines = Mapping[str, NDArray[Any]]

_COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3")
_GREY, _BAND = "#667085", "#e4e7ec"
_PANEL, _COLUMNS = 2.4, 5
# central probability of every band
_LEVEL = 0.99
# area of a point of average weight, and how many averages are still told apart
_POINT, _LARGEST = 4.0, 40.0
# probability that the contours enclose
_ENCLOSED = (0.5, 0.9, 0.99)
_GRID = 160
# tails beyond this share of the samples don't set the limits of a picture
_OUTSIDE = 0.002


def qq_plot(exact: NDArray[Any], panels: Mapping[str, Lines], unit: str = "") -> Figure:
    """Draw sampled quantiles over exact ones; a calibrated line is the diagonal.

    Steeper: too wide; flatter: too narrow; off the centre: biased.

    Args:
        exact: Quantiles ``(P,)``, increasing; they set the limits of both axes.
        panels: For each panel its lines, quantiles ``(P,)`` at the same probabilities.
        unit: Of both axes.
    """
    figure, axes = _panels(list(panels), len(panels))
    suffix = f" ({unit})" if unit else ""
    low, high = float(exact[0]), float(exact[-1])
    for axis, lines in zip(axes, panels.values(), strict=True):
        axis.plot([low, high], [low, high], color=_GREY, linestyle="--", linewidth=1)
        _draw_lines(axis, exact, lines)
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    _label(figure, axes, f"exact quantile{suffix}", f"sampled quantile{suffix}")
    return figure


def coverage_plot(
    levels: NDArray[Any], panels: Mapping[str, Lines], count: int | None = None
) -> Figure:
    """Draw how often intervals hold the truth over what they claim.

    Args:
        levels: Claimed probabilities ``(L,)``.
        panels: For each panel its lines, coverages ``(L,)``.
        count: Independent cases of each line: a band of 99 % for calibrated intervals.
    """
    from scipy.stats import binom

    figure, axes = _panels(list(panels), len(panels))
    for axis, lines in zip(axes, panels.values(), strict=True):
        if count is not None:
            band = np.stack(binom.interval(_LEVEL, count, levels)) / count
            axis.fill_between(levels, *band, color=_BAND, linewidth=0)
        axis.plot([0, 1], [0, 1], color=_GREY, linestyle="--", linewidth=1)
        _draw_lines(axis, levels, lines)
        axis.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    _label(figure, axes, "stated probability", "share that holds the truth")
    return figure


def rank_histogram(
    ranks: Mapping[str, torch.Tensor], num_samples: int, num_bins: int | None = None
) -> Figure:
    """Draw histograms of ranks, a panel each, with the binomial band of 99 % of uniform ranks.

    Args:
        ranks: Of any shape, from 0 to ``num_samples``; see ``rank_statistics``.
        num_samples: N.
        num_bins: At most 20, and of equal width if N + 1 can be divided so, if not given.
    """
    from scipy.stats import binom

    bins = _even_bins(num_samples) if num_bins is None else num_bins
    figure, axes = _panels(list(ranks), len(ranks))
    edges = np.linspace(0, 1, bins + 1)
    for axis, values in zip(axes, ranks.values(), strict=True):
        counts, expected = (np.asarray(part) for part in rank_counts(values, num_samples, bins))
        share = expected / values.numel()
        # over what is expected: bins may hold one rank more than others
        low, high = np.stack(binom.interval(_LEVEL, values.numel(), share)) / expected
        heights = counts / expected
        axis.bar(edges[:-1], heights, np.diff(edges), align="edge", color=_COLORS[0], alpha=0.85)
        axis.stairs(high, edges, baseline=low, fill=True, color=_GREY, alpha=0.4)
        axis.axhline(1, color=_GREY, linestyle="--", linewidth=1)
        axis.set(xlim=(0, 1), ylim=(0, 1.1 * max(heights.max(), high.max())))
    _label(figure, axes, "rank of the truth / N", "count / expected count")
    return figure


def density_plot(panels: Mapping[str, Cloud], exact: GaussianMixturePrior) -> Figure:
    """Draw two numbers of each sample over contours of their exact density.

    The contours hold 50, 90 and 99 % of the probability; the area of a point is its weight.

    Args:
        panels: Samples ``(N, 2)``, a panel each.
        exact: Of images of shape (2,), such as ``marginal`` gives.

    Raises:
        ValueError: Samples or a density of another number of dimensions.
    """
    clouds = {name: weighted_points(cloud) for name, cloud in panels.items()}
    shapes = {points.shape[1] for points, _ in clouds.values()} | {exact.mean().numel()}
    if shapes != {2}:
        raise ValueError(f"density_plot: expected two numbers a sample, got {sorted(shapes)}")
    (left, right), (bottom, top) = _limits(exact, clouds)
    x, y = np.linspace(left, right, _GRID), np.linspace(bottom, top, _GRID)
    grid = torch.from_numpy(np.stack(np.meshgrid(x, y), -1)).to(exact.means)
    density = exact.log_prob(grid).exp().cpu().numpy()
    figure, axes = _panels(list(panels), len(panels))
    for axis, (points, weights) in zip(axes, clouds.values(), strict=True):
        levels = _enclosing(density)
        axis.contourf(x, y, density, [*levels, density.max() * 1.01], colors=_shades(len(levels)))
        axis.contour(x, y, density, levels, colors=_GREY, linewidths=0.6)
        area = _POINT * (weights * len(weights)).clamp(max=_LARGEST).cpu().numpy()
        across, up = points.T.cpu().numpy()
        axis.scatter(across, up, s=area, c=_COLORS[0], alpha=0.5, linewidths=0)
        axis.set(xlim=(left, right), ylim=(bottom, top))
    _label(figure, axes, "", "")
    return figure


def _panels(titles: list[str], count: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = -(-count // _COLUMNS)
    columns = -(-count // rows)
    size = (max(_PANEL * columns + 0.4, 4.0), _PANEL * rows + 0.7)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.08))
    grid = figure.subplots(rows, columns, squeeze=False)
    axes = list(grid.flat)
    for axis in axes[count:]:
        axis.remove()
    for axis, title in zip(axes[:count], titles, strict=True):
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[:count]


def _draw_lines(axis: Axes, x: NDArray[Any], lines: Lines) -> None:
    for color, (name, values) in zip(_COLORS, lines.items(), strict=False):
        axis.plot(x, values, color=color, linewidth=1.6, label=name)


def _label(figure: Figure, axes: list[Axes], x: str, y: str) -> None:
    """Name the axes once, and the lines once above all panels."""
    figure.supxlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=9)
    handles, names = axes[0].get_legend_handles_labels()
    if names:
        figure.legend(
            handles, names, fontsize=8, frameon=False, ncols=len(names), loc="outside upper center"
        )


def _even_bins(num_samples: int) -> int:
    ranks = num_samples + 1
    return next((n for n in range(20, 7, -1) if ranks % n == 0), min(20, ranks))


def _enclosing(density: NDArray[Any]) -> list[float]:
    """Return the densities whose level sets hold the probabilities, increasing."""
    ordered = np.sort(density.ravel())[::-1]
    share = np.cumsum(ordered) / ordered.sum()
    return sorted(float(ordered[np.searchsorted(share, p)]) for p in _ENCLOSED)


def _limits(exact: GaussianMixturePrior, clouds: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return where all of the density and nearly all samples are, for each of the two numbers."""
    spread = 3.5 * torch.diagonal(exact.covariances, dim1=1, dim2=2).sqrt()
    limits = []
    for k in range(2):
        ends = [exact.means[:, k] - spread[:, k], exact.means[:, k] + spread[:, k]]
        for points, _ in clouds.values():
            tails = torch.tensor([_OUTSIDE, 1 - _OUTSIDE], dtype=points.dtype)
            ends.append(torch.quantile(points[:, k], tails.to(points.device)))
        pooled = torch.cat([end.cpu().double() for end in ends])
        limits.append((float(pooled.min()), float(pooled.max())))
    return limits


def _shades(count: int) -> list[str]:
    return ["#eef1f5", "#dfe4ec", "#cbd3df"][:count]
