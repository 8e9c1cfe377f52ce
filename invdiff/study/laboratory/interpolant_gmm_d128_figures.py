"""Figures of the study of many dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.study.laboratory.interpolant_gmm_d128_scores import ESTIMATES
from invdiff.study.scripted import Arrays, Metrics
from invdiff.theory.plots import density_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["error_figure", "kl_figure", "loss_figure", "sample_figure"]

_COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3", "#c08a1e")
_GREY = "#98a2b3"
# samples of a panel, beyond which they hide each other
_POINTS = 1000


def kl_figure(metrics: Metrics, epsilons: Sequence[float]) -> Figure:
    """Draw the divergence against epsilon, and what bounds it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, color in (("paths", _COLORS[0]), ("moments", _COLORS[1])):
        _bars(left, metrics, epsilons, name, color)
        value, error = metrics[f"ode_{name}"], metrics[f"ode_{name}_se"]
        left.axhline(
            value, color=color, linestyle=":", label="ODE, " + ESTIMATES[name].split(",")[0]
        )
        left.axhspan(value - error, value + error, color=color, alpha=0.12, linewidth=0)
    schedule = metrics["schedule_kl_paths"][0]
    left.axhline(schedule, color=_COLORS[0], linestyle="-.", label=r"best $\epsilon(t)$")
    left.axvline(metrics["best_paths"], color=_GREY, label="best on the grid")
    for name, color in (("paths", _COLORS[0]), ("path", _COLORS[2])):
        _bars(right, metrics, epsilons, name, color)
    right.plot(epsilons, metrics["drift_bound"], "--", color="black", label="bound of the drift")
    right.plot(epsilons, metrics["bound"], ":", color="black", label="bound of b and s")
    right.set(yscale="log")
    for axis in (left, right):
        predicted = metrics["predicted_epsilon"]
        axis.axvline(predicted, color=_GREY, linestyle="--", label="predicted")
        axis.set(xscale="log", xlabel=r"$\epsilon$")
        axis.legend(fontsize=7)
    left.set_ylabel("KL(truth || sampled) / nats")
    return figure


def sample_figure(panels: Mapping[str, NDArray[np.float64]], exact: GaussianMixturePrior) -> Figure:
    """Draw samples in two directions over the contours of their exact density."""
    clouds = {name: torch.from_numpy(points[:_POINTS]) for name, points in panels.items()}
    return density_plot(clouds, exact)


def error_figure(metrics: Metrics, arrays: Arrays) -> Figure:
    """Draw the errors of the fields along time, and the epsilon that they ask for."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.2, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (name, field) in enumerate((("velocity", "b"), ("score", "s"))):
        left.plot(arrays["times"], arrays[name], color=_COLORS[i], label=f"error of {field}")
        size = arrays[f"size_{field}"]
        left.plot(arrays["times"], size, ":", color=_COLORS[i], label=f"{field} itself")
    left.set(xlabel="t", ylabel="mean square", yscale="log")
    left.legend(fontsize=8)
    best = np.sqrt(arrays["velocity"] / arrays["score"])
    right.plot(arrays["times"], best, color=_COLORS[2], label=r"$\epsilon^*(t)$")
    constant = metrics["predicted_epsilon"]
    right.axhline(constant, color=_GREY, linestyle="--", label=rf"$\epsilon^*$ = {constant:.2f}")
    right.set(xlabel="t", ylabel=r"$\epsilon$", yscale="log")
    right.legend(fontsize=8)
    return figure


def loss_figure(arrays: Arrays, fields: Sequence[str]) -> Figure:
    """Draw the losses of the training, and the least ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    dim = int(arrays["dim"])
    for i, field in enumerate(fields):
        parts = np.array_split(arrays[f"loss_{field}"], 50)
        ends = np.cumsum([len(part) for part in parts])
        means: list[Any] = [part.mean() for part in parts if len(part)]
        axis.plot(ends[: len(means)], means, color=_COLORS[i], label=field)
        least = -float(np.trapezoid(arrays[f"size_{field}"], arrays["times"])) / (2 * dim)
        axis.axhline(least, color=_COLORS[i], linestyle="--", linewidth=1)
    axis.set(xlabel="step", ylabel="loss / d")
    axis.legend(fontsize=8)
    return figure


def _bars(axis: Axes, metrics: Metrics, epsilons: Sequence[float], name: str, color: str) -> None:
    value, error = metrics[f"kl_{name}"], metrics[f"kl_{name}_se"]
    axis.errorbar(epsilons, value, error, fmt="o-", ms=3, color=color, label=ESTIMATES[name])
