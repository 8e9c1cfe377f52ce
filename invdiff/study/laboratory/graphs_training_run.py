"""The run of a training of graphs: its checkpoint, its losses and what each step takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from invdiff.graphs.fit import CheckpointFile
from invdiff.study.progress import StepBar
from invdiff.study.scripted import Arrays
from invdiff.study.stored_weights import stored_weights
from invdiff.training import TrainingStep

__all__ = ["StepRecord", "trained_weights"]


class StepRecord:
    """Losses and durations of the steps of a training, also of one that was interrupted.

    Args:
        path: Where durations are kept; those that are there are of the first steps.
        every: Steps from one time that they are kept to the next, as for the checkpoints.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.seconds: list[float] = np.load(path).tolist() if path.exists() else []
        self._path, self._every, self._losses = path, every, list[Tensor]()
        self._bar = StepBar("training")
        self._last = time.perf_counter()

    def __call__(self, step: TrainingStep) -> None:
        """Note a step; those of a checkpoint are told again, and took what they took."""
        now = time.perf_counter()
        if step.step >= len(self.seconds):
            self.seconds.append(now - self._last)
        self._last = now
        self._losses.append(step.loss)
        done = step.step + 1
        # before the checkpoint of the same step: it must not know of more steps than this
        if done % self._every == 0 or done == step.num_steps:
            self._keep()
        self._show(step)

    def arrays(self) -> Arrays:
        """Return "loss" and "step_seconds"."""
        self._bar.close()
        loss = torch.stack(self._losses).float().cpu().numpy()
        return {"loss": loss, "step_seconds": np.array(self.seconds)}

    def _keep(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial.npy")
        np.save(partial, np.array(self.seconds))
        os.replace(partial, self._path)

    def _show(self, step: TrainingStep) -> None:
        self._bar.step(step.num_steps)
        # reading the loss waits for the device
        if step.step % self._every == 0:
            self._bar.say(f"loss {float(step.loss):.3f}")


def trained_weights(
    fit: Callable[[CheckpointFile, Callable[[TrainingStep], None]], nn.Module],
    every: int,
    folder: Path,
) -> Arrays:
    """Train, or go on with a training, and return weights, losses and durations.

    Args:
        fit: Trains with a checkpoint, tells each step, and returns the network.
        every: Steps from one checkpoint to the next.
        folder: Of the checkpoint.
    """
    record = StepRecord(folder / "training_seconds.npy", every)
    checkpoint = CheckpointFile(folder / "training.safetensors", every)
    network = fit(checkpoint, record)
    return stored_weights(network) | record.arrays()
