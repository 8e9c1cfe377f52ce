"""Figures of the study of interpolants between mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bound_figure", "ode_figure", "residual_figure", "steps_figure", "transport_figure"]

_COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3", "#c08a1e", "#3b8f8f", "#7a4a3a")
_GREY = "#98a2b3"


def transport_figure(arrays: Arrays, epsilons: Sequence[float]) -> Figure:
    """Draw the exact density over time with paths, one panel for each epsilon, and the ends.

    Args:
        arrays: With "density" ``(times, points)``, "points", and "paths_i", "ends_i".
        epsilons: Of the panels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(epsilons) + 1.6, 3.9), layout="constrained")
    ratios = (*(3,) * len(epsilons), 1.5)
    *panels, last = figure.subplots(1, len(epsilons) + 1, sharey=True, width_ratios=ratios)
    points = arrays["points"]
    for i, (axis, epsilon) in enumerate(zip(panels, epsilons, strict=True)):
        color = _COLORS[i % len(_COLORS)]
        # the root shows the thin middle as well as the peaks
        axis.imshow(
            arrays["density"].T ** 0.5,
            extent=(0, 1, points[0], points[-1]),
            origin="lower",
            aspect="auto",
            cmap="Greys",
            vmax=1.0,
        )
        paths = arrays[f"paths_{i}"]
        axis.plot(np.linspace(0, 1, len(paths)), paths, color=color, linewidth=0.7, alpha=0.85)
        axis.set(xlabel="t", title=_name(epsilon), xlim=(0, 1))
        last.hist(
            arrays[f"ends_{i}"],
            np.linspace(points[0], points[-1], 61),
            density=True,
            orientation="horizontal",
            histtype="step",
            color=color,
        )
    last.plot(arrays["density"][-1], points, color="black", linewidth=1, label="exact")
    last.set(title="t = 1", xticks=[], ylim=(points[0], points[-1]))
    last.legend(fontsize=8, loc="upper right")
    panels[0].set_ylabel("x")
    return figure


def steps_figure(metrics: Metrics, runs: Sequence[Any], gaps: Sequence[float]) -> Figure:
    """Draw W1 against the number of steps: the samplers, and the ODE's grids of times.

    Args:
        metrics: Of the study.
        runs: Samplers with "epsilon", "steps" and "reference".
        gaps: Of the ODE's grids.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axis in (left, right):
        _draw_floor(axis, metrics)
        axis.set(xscale="log", yscale="log", xlabel="steps")
    for i, choice in enumerate(runs):
        color = _COLORS[i % len(_COLORS)]
        _draw_steps(left, metrics, f"{i}_0", choice, color, _name(choice.epsilon))
        _draw_reference(left, choice, color)
        if choice.epsilon == 0:
            _draw_reference(right, choice, "black")
            for j, gap in enumerate(gaps):
                color = _COLORS[j % len(_COLORS)]
                _draw_steps(right, metrics, f"{i}_{j}", choice, color, f"{gap:g}")
    left.set(ylabel="W1 to the exact target", title="samplers")
    right.set(title="the ODE on other times")
    left.legend(fontsize=8)
    right.legend(fontsize=8, title="distance from 0 and 1", title_fontsize=8)
    return figure


def bound_figure(metrics: Metrics, epsilons: Sequence[float], waves: Sequence[Any]) -> Figure:
    """Draw KL and its bounds against epsilon, one panel for each error of the fields."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.5 * len(waves) + 0.4, 3.9), layout="constrained")
    axes = figure.subplots(1, len(waves), sharey=True, squeeze=False)[0]
    for i, (axis, wave) in enumerate(zip(axes, waves, strict=True)):
        axis.loglog(epsilons, metrics[f"loose_bound_{i}"], ":", color=_GREY, label="loose bound")
        axis.loglog(epsilons, metrics[f"bound_{i}"], "-", color=_COLORS[1], label="tight bound")
        axis.loglog(epsilons, metrics[f"kl_{i}"], "o-", color=_COLORS[0], markersize=4, label="KL")
        axis.axhline(metrics[f"kl_ode_{i}"], color=_COLORS[2], linestyle="--", label="KL, ODE")
        axis.axvline(metrics[f"bound_best_{i}"], color=_COLORS[1], linewidth=0.8, alpha=0.6)
        axis.axvline(metrics[f"kl_best_{i}"], color=_COLORS[0], linewidth=0.8, alpha=0.6)
        title = (
            rf"$\delta_b$ = {wave.velocity:g}, $\delta_s$ = {wave.score:g}, k = {wave.wavenumber:g}"
        )
        axis.set(xlabel=r"$\epsilon$", title=title)
    axes[0].set_ylabel("nats")
    axes[0].legend(fontsize=8)
    return figure


def ode_figure(metrics: Metrics, wavenumbers: Sequence[float], epsilons: Sequence[float]) -> Figure:
    """Draw KL against the wavenumber of a velocity error of one size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.9), layout="constrained")
    axis = figure.subplots()
    axis.plot(wavenumbers, metrics["ode_kl"], "s-", color=_COLORS[0], label="ODE")
    for i, epsilon in enumerate(epsilons):
        color = _COLORS[1 + i % (len(_COLORS) - 1)]
        axis.plot(wavenumbers, metrics["ode_sde_kl"][i], "o-", color=color, label=_name(epsilon))
        axis.plot(wavenumbers, metrics["ode_sde_bound"][i], ":", color=color)
    axis.set_xscale("symlog", linthresh=1, linscale=0.5)
    axis.set_xticks(wavenumbers, [f"{k:g}" for k in wavenumbers])
    axis.minorticks_off()
    axis.set(yscale="log", xlabel="wavenumber of the error", ylabel="KL in nats")
    axis.legend(fontsize=8)
    return figure


def residual_figure(arrays: Arrays, equations: Mapping[str, str]) -> Figure:
    """Draw the largest residual over x against time.

    Args:
        arrays: With "residual_times" and "residual_NAME".
        equations: Titles by name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    axis = figure.subplots()
    for i, (name, title) in enumerate(equations.items()):
        color = _GREY if name == "control" else _COLORS[i % len(_COLORS)]
        axis.semilogy(
            arrays["residual_times"], arrays[f"residual_{name}"], color=color, label=title
        )
    axis.axhline(1e-8, color="black", linestyle="--", linewidth=1)
    axis.set(xlabel="t", ylabel="largest relative residual", ylim=(1e-17, 10))
    figure.legend(fontsize=8, loc="outside right center")
    return figure


def _name(epsilon: float) -> str:
    return "ODE" if epsilon == 0 else rf"SDE, $\epsilon$ = {epsilon:g}"


def _draw_floor(axis: Axes, metrics: Metrics) -> None:
    mean, scatter = metrics["floor"][-1], metrics["floor_scatter"][-1]
    axis.axhspan(mean - scatter, mean + scatter, color=_GREY, alpha=0.25, linewidth=0)
    axis.axhline(mean, color=_GREY, linewidth=1)


def _draw_steps(
    axis: Axes, metrics: Metrics, key: str, choice: Any, color: str, label: str
) -> None:
    steps: NDArray[Any] = np.array(choice.steps, dtype=float)
    axis.plot(steps, metrics[f"w1_even_{key}"], "o-", color=color, markersize=4, label=label)
    mean, scatter = (metrics[f"w1_random{part}_{key}"] for part in ("", "_scatter"))
    axis.errorbar(
        1.06 * steps, mean, scatter, fmt="_", color=color, capsize=2, linewidth=1, alpha=0.7
    )


def _draw_reference(axis: Axes, choice: Any, color: str) -> None:
    if choice.reference:
        axis.plot(0.94 * np.array(choice.steps, dtype=float), choice.reference, "x", color=color)
