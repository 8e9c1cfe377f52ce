"""The state of a sampler of volumes in a file, for a run that goes on where it was interrupted."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from invdiff.volumes.sampler import VolumeState

__all__ = ["StepFile"]


class StepFile:
    """The last state that was kept, as NPZ; the file is complete or not there.

    Args:
        folder: Where it is; created with it.
        every: Steps between two of them.
        device: Where the state goes on.
    """

    def __init__(self, folder: Path, every: int, device: str) -> None:
        self._path, self._every, self._device = folder / "state.npz", every, device

    def load(self) -> tuple[int, VolumeState] | None:
        """Return the number of the next step and the state before it; None without a file."""
        if not self._path.exists():
            return None
        with np.load(self._path, allow_pickle=False) as stored:
            count = len(stored.files) - 1
            x, *carried = (
                torch.from_numpy(stored[f"tensor_{k}"]).to(self._device) for k in range(count)
            )
            return int(stored["step"]), VolumeState(x, tuple(carried))

    def save(self, step: int, state: VolumeState) -> None:
        """Keep the state before every so many steps; there is nothing to keep before the first."""
        if step == 0 or step % self._every:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {f"tensor_{k}": t.cpu().numpy() for k, t in enumerate([state.x, *state.coupling])}
        partial = self._path.with_name("partial.npz")
        np.savez(partial, step=np.asarray(step), **tensors)  # type: ignore[arg-type]
        os.replace(partial, self._path)
