"""The figures of a study of graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

from invdiff.study.laboratory.graph_pictures import (
    by_community,
    community_colors,
    draw_graph,
    graph_positions,
)
from invdiff.study.laboratory.graphs_config import IntegratorBase
from invdiff.study.laboratory.graphs_scores import PROTOCOLS, STATISTICS
from invdiff.study.loss_line import draw_loss
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["calls", "discrepancies", "gallery", "loss", "trajectory"]

_ACCENT, _BLUE, _GREY, _DARK = "#b5482a", "#2f6f9f", "#98a2b3", "#344054"
_LINES = (_ACCENT, _BLUE, "#5b8c3e", "#c9932b", "#7a5c99", "#4a9a94")
_COLUMNS, _PANEL = 8, 1.25
# entries of a noisy adjacency that are shown; an edge is 1
_WINDOW = 2.0


def gallery(arrays: Arrays) -> Figure:
    """Draw test graphs above generated ones; those that were trained with are framed.

    Args:
        arrays: As from ``pictured``.
    """
    from matplotlib.figure import Figure

    rows = [
        (name, list(part))
        for name in ("test", "generated")
        for part in _chunks(_stored(arrays, name))
    ]
    size = (_PANEL * _COLUMNS, (_PANEL + 0.1) * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    for line, (name, graphs) in zip(
        figure.subplots(len(rows), _COLUMNS, squeeze=False), rows, strict=True
    ):
        for axis in line:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        for axis, (graph, known) in zip(line, graphs, strict=False):
            draw_graph(axis, graph, framed=known)
        line[0].set_ylabel(name, fontsize=9)
    return figure


def trajectory(arrays: Arrays) -> Figure:
    """Draw the noisy adjacency at moments, and what is an edge in it.

    Args:
        arrays: With "trajectory", "trajectory_times" and "trajectory_scales".
    """
    from matplotlib.figure import Figure

    frames, times = arrays["trajectory"], arrays["trajectory_times"]
    halves = arrays["trajectory_scales"] / 2
    graphs = [nx.from_numpy_array(x >= half) for x, half in zip(frames, halves, strict=True)]
    order, positions = by_community(graphs[-1]), graph_positions(graphs[-1])
    colors = community_colors(graphs[-1])
    figure = Figure(figsize=(_PANEL * len(frames) + 0.5, 2 * _PANEL + 0.3), layout="constrained")
    upper, lower = figure.subplots(2, len(frames), squeeze=False)
    for i, (frame, graph) in enumerate(zip(frames, graphs, strict=True)):
        shown = upper[i].imshow(
            frame[np.ix_(order, order)], cmap="RdBu_r", vmin=-_WINDOW, vmax=_WINDOW
        )
        upper[i].set(xticks=[], yticks=[])
        upper[i].set_title(f"t = {times[i]:.2g}", fontsize=9)
        draw_graph(lower[i], graph, positions=positions, colors=colors)
    upper[0].set_ylabel("adjacency", fontsize=9)
    lower[0].set_ylabel("edges", fontsize=9)
    figure.colorbar(shown, ax=upper, shrink=0.9, extend="both").ax.tick_params(labelsize=7)
    return figure


def discrepancies(arrays: Arrays, num_test: int, num_graphs: int) -> Figure:
    """Draw the discrepancies of the runs beside what training graphs get.

    Args:
        arrays: As from ``score_arrays``, of the main integrator.
        num_test: Number of test graphs.
        num_graphs: Generated graphs of a run.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.4, 3.3), layout="constrained")
    titles = {
        "first": f"first {min(num_test, num_graphs)} graphs of a run, as published",
        "all": f"all {num_graphs} graphs of a run",
    }
    for axis, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        mmd, floor = PROTOCOLS[name].mmd, PROTOCOLS[name].floor
        for i, statistic in enumerate(STATISTICS):
            values = arrays[f"{mmd}_{statistic}"]
            axis.bar(i, values.mean(), 0.6, color=_ACCENT, alpha=0.35)
            places = i + np.linspace(-0.15, 0.15, len(values))
            axis.plot(places, values, "o", color=_ACCENT, markersize=3, linestyle="none")
            axis.hlines(arrays[f"{floor}_{statistic}"], i - 0.38, i + 0.38, color=_DARK)
            drawn = arrays[f"drawn_{mmd}_{statistic}"].mean()
            axis.hlines(drawn, i - 0.38, i + 0.38, color=_DARK, linestyles=":")
        axis.plot([], [], "o", color=_ACCENT, markersize=3, label="generated, a run each")
        axis.plot([], [], color=_DARK, label="training graphs (floor)")
        axis.plot([], [], color=_DARK, linestyle=":", label="as many, drawn from them")
        # room for the legend
        axis.set_ylim(top=1.35 * axis.get_ylim()[1])
        axis.set_xticks(range(len(STATISTICS)), STATISTICS)
        axis.set_title(title, fontsize=10)
        _finish(axis)
    figure.axes[0].set_ylabel("squared discrepancy")
    return figure


def calls(
    metrics: Metrics, integrators: Sequence[IntegratorBase], keys: Mapping[str, Mapping[str, str]]
) -> Figure:
    """Draw the mean discrepancy against the calls of the scores.

    Args:
        metrics: Of the study.
        integrators: In the order of the study.
        keys: For the name of each, its keys of "calls", "first" and "all".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.4, 3.3), layout="constrained")
    titles = {"first": "first graphs of a run, as published", "all": "all graphs of a run"}
    lines: dict[str, list[IntegratorBase]] = {}
    for integrator in integrators:
        lines.setdefault(integrator.line, []).append(integrator)
    for axis, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for color, members in zip(_cycle(len(lines)), lines.values(), strict=True):
            found = sorted(
                (metrics[keys[m.name]["calls"]], metrics[key], metrics[f"{key}_std"])
                for m in members
                for key in [keys[m.name][name]]
            )
            axis.errorbar(
                *zip(*found, strict=True), fmt="o-", color=color, markersize=4, capsize=3,
                label=members[0].family,
            )  # fmt: skip
        floor = metrics[f"{PROTOCOLS[name].floor}_average"]
        axis.axhline(floor, color=_DARK, linewidth=1, label="training graphs (floor)")
        axis.set(xscale="log", xlabel="calls of the scores for a graph")
        ticks = sorted({metrics[key["calls"]] for key in keys.values()})
        axis.set_xticks(_apart(ticks), [f"{tick:g}" for tick in _apart(ticks)])
        axis.set_xticks([], minor=True)
        axis.set_title(title, fontsize=10)
        _finish(axis)
    figure.axes[0].set_ylabel("mean of degree, cluster, orbit")
    return figure


def loss(arrays: Arrays) -> Figure:
    """Draw the loss of each step and means of it.

    Args:
        arrays: With "loss".
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    draw_loss(axis, arrays["loss"], "means")
    _finish(axis)
    # single batches may be far off, and the loss has a least value that isn't 0
    low, high = np.quantile(arrays["loss"], (0.005, 0.995))
    room = 0.05 * (high - low) or 1.0
    axis.set(xlabel="step", ylabel="loss of a graph", ylim=(low - room, high + room))
    return figure


def _stored(arrays: Arrays, name: str) -> list[tuple[nx.Graph, bool]]:
    pairs = zip(arrays[f"{name}_adjacency"], arrays[f"{name}_sizes"], strict=True)
    graphs = [nx.from_numpy_array(x[:n, :n].astype(int)) for x, n in pairs]
    return list(zip(graphs, arrays[f"{name}_known"].tolist(), strict=True))


def _chunks(items: list[Any]) -> list[list[Any]]:
    return [items[i : i + _COLUMNS] for i in range(0, len(items), _COLUMNS)]


def _cycle(count: int) -> list[str]:
    return [_LINES[i % len(_LINES)] for i in range(count)]


def _apart(ticks: Sequence[float]) -> list[float]:
    """Return ticks whose labels have room beside each other on a logarithmic axis."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or tick > 1.3 * kept[-1]:
            kept.append(tick)
    return kept


def _finish(axis: Axes) -> None:
    # discrepancies are next to never negative
    axis.set_ylim(bottom=min(0.0, *axis.dataLim.intervaly))
    axis.legend(fontsize=8, frameon=False)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
