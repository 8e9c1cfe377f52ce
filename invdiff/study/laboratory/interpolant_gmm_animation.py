"""The transport of particles with different amounts of noise, as a small animation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.study.laboratory.interpolant_gmm_problem import line, mixture_process

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_animation"]

_COLORS = ("#b5482a", "#2f6f9f", "#5b8c3e", "#8a5aa3")
_MARKED = 7


def write_animation(
    folder: Path, paths: Sequence[NDArray[Any]], epsilons: Sequence[float], frames: int
) -> None:
    """Write ``transport.gif``: histograms of particles over the exact density.

    Args:
        folder: Created.
        paths: ``(steps + 1, particles)`` for each epsilon, over equal times from 0 to 1.
        epsilons: Of the rows.
        frames: Of the movement; the end stays for a third of them.
    """
    from matplotlib.animation import PillowWriter
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(4.8, 1.25 * len(paths) + 0.5), layout="constrained", dpi=90)
    axes = figure.subplots(len(paths), 1, sharex=True, squeeze=False)[:, 0]
    writer = PillowWriter(fps=12)
    steps = len(paths[0]) - 1
    with writer.saving(figure, str(folder / "transport.gif"), dpi=90):
        for k in range(frames + 1):
            at = round(k * steps / frames)
            figure.suptitle(f"t = {at / steps:.2f}", fontsize=9)
            for i, (axis, path) in enumerate(zip(axes, paths, strict=True)):
                _draw(axis, path[: at + 1], at / steps, epsilons[i], _COLORS[i % len(_COLORS)])
            for _ in range(1 + (frames // 3 if k == frames else 0)):
                writer.grab_frame()


def _draw(axis: Axes, past: NDArray[Any], time: float, epsilon: float, color: str) -> None:
    points = line(9.0, 300)
    t = torch.tensor(time, dtype=torch.float64)
    density = mixture_process().log_prob(points.unsqueeze(-1), t).exp()
    axis.clear()
    axis.hist(past[-1], np.linspace(-9, 9, 61).tolist(), density=True, color=color, alpha=0.4)
    axis.plot(points, density, color="black", linewidth=1)
    # a few particles below, with where they were last
    chosen = np.linspace(0, past.shape[1] - 1, _MARKED + 2)[1:-1].round().astype(int)
    heights = -0.03 - 0.025 * np.arange(_MARKED)
    axis.plot(past[-20:, chosen], np.tile(heights, (len(past[-20:]), 1)), color=color, alpha=0.5)
    axis.plot(past[-1, chosen], heights, ".", color=color)
    name = "ODE" if epsilon == 0 else rf"SDE, $\epsilon$ = {epsilon:g}"
    axis.text(0.01, 0.88, name, transform=axis.transAxes, fontsize=8, va="top")
    axis.set(xlim=(-9, 9), ylim=(-0.22, 0.45), yticks=[])
