"""Results of finished stages, kept until all are there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Stages"]

Arrays = dict[str, NDArray[Any]]


class Stages:
    """One NPZ file a stage; a stage that has its file is not computed again.

    Args:
        folder: Where the files are; created with the first of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of a stage, with the seconds that it took when it was computed."""
        path = self.folder / f"{name}.npz"
        if path.exists():
            with np.load(path, allow_pickle=False) as stored:
                return dict(stored)
        start = time.perf_counter()
        arrays = compute()
        arrays["seconds"] = np.asarray(time.perf_counter() - start)
        self._write(path, arrays)
        return arrays

    def _write(self, path: Path, arrays: Arrays) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **arrays)  # type: ignore[arg-type]
        os.replace(partial, path)
