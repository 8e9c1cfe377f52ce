"""A page that shows a training while it runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdiff.study.loss_line import draw_loss
from invdiff.study.page import inlined, render
from invdiff.study.progress import StepBar
from invdiff.training import TrainingStep

__all__ = ["LiveReport"]

_SECONDS = 20.0


class LiveReport:
    """Keeps the losses, and writes ``live.html`` every 20 seconds; browsers load it again.

    Args:
        folder: Where to.
        title: Of the training.
        every: Steps from one number beside the bar to the next; reading it waits for the device.
    """

    def __init__(self, folder: Path, title: str, every: int) -> None:
        self._folder, self._title, self._every = folder, title, every
        self._losses: list[Tensor] = []
        self._bar = StepBar("training")
        self._next = time.monotonic() + _SECONDS

    def __call__(self, step: TrainingStep) -> None:
        """Note a step."""
        self._losses.append(step.loss)
        self._bar.step(step.num_steps)
        if step.step % self._every == 0:
            self._bar.say(f"loss {float(step.loss):.3f}")
        if time.monotonic() >= self._next:
            self._write(step)
            self._next = time.monotonic() + _SECONDS

    def losses(self) -> NDArray[np.float32]:
        """Return the loss of each step so far."""
        losses: NDArray[np.float32] = self._stacked()
        return losses

    def close(self) -> None:
        """Leave the bar."""
        self._bar.close()

    def remove(self) -> None:
        """Delete the page: the report takes its place."""
        for name in ("live.html", "live.png"):
            (self._folder / name).unlink(missing_ok=True)

    def _stacked(self) -> NDArray[Any]:
        return torch.stack(self._losses).float().cpu().numpy()

    def _write(self, step: TrainingStep) -> None:
        from matplotlib.figure import Figure

        losses = self._stacked()
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axis = figure.subplots()
        highest = draw_loss(axis, losses, "means of steps")
        axis.set(xlabel="step", ylabel="loss", ylim=(0, 1.1 * highest))
        self._folder.mkdir(parents=True, exist_ok=True)
        last = losses[-max(1, len(losses) // 10) :].mean()
        partial = self._folder / "live.partial.html"
        render(
            partial,
            "live",
            title=self._title,
            seconds=round(_SECONDS),
            text=f"Step {step.step + 1} of {step.num_steps}, loss {last:.4f}.",
            data=inlined(figure, self._folder / "live.png"),
        )
        os.replace(partial, self._folder / "live.html")
