"""The figures of the training of a router, from its stored numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from invdiff.study.loss_line import draw_loss
from invdiff.study.scripted import Arrays, Metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["loss", "scores"]

_ACCURACY, _ERROR = "#2f6f9f", "#b5482a"


def loss(arrays: Arrays) -> Figure:
    """Show the cross entropy of each step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axis = figure.subplots()
    highest = draw_loss(axis, arrays["loss"], "means of steps")
    axis.set(xlabel="step", ylabel="cross entropy (nats)", ylim=(0, 1.1 * highest))
    axis.legend(frameon=False)
    return figure


def scores(metrics: Metrics, sigmas: Sequence[float]) -> Figure:
    """Show accuracy and calibration error against the noise level."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axis = figure.subplots()
    for name, color in (("accuracy", _ACCURACY), ("calibration_error", _ERROR)):
        axis.plot(sigmas, metrics[name], "o-", color=color, label=name.replace("_", " "))
    axis.set(xlabel="noise level, images in [-1, 1]", ylim=(0, 1.03), xscale="log")
    axis.legend(frameon=False)
    return figure
