"""Slices and choices of a training of seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 16
SUBJECTS = "abcdef"


def discs(count: int = 24, side: int = SIDE) -> NDArray[np.uint8]:
    """Discs of one grey value each, a different one in every slice."""
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    radii = np.linspace(0.3, 0.9, count)[:, None, None]
    return np.where(np.hypot(rows, columns) < radii, 100 + 100 * radii, 0).astype(np.uint8)


def archive(folder: Path, **arrays: Any) -> Path:
    """Write four slices of each of six subjects."""
    path = folder / "discs.npz"
    arrays = {"x": discs(), "subject": np.repeat(list(SUBJECTS), 4)} | arrays
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def choices(path: Path, **changes: Any) -> dict[str, Any]:
    """Return a configuration of four steps; values of its sections are changed one by one."""
    values: dict[str, Any] = {
        "kind": "prior-training",
        "title": "Tiny",
        "slices": {"path": str(path)},
        "split": {"heldout": ["e", "f"]},
        "network": {"channels": [16, 32]},
        "augmentation": {"elastic_grid": 8},
        "optimisation": {
            "num_steps": 4,
            "batch_size": 8,
            "num_warmup": 1,
            "checkpoint_every": 2,
        },
        "averages": {"num_snapshots": 2, "candidates": [0.05, 0.1]},
        "sigmas": [0.1, 1.0],
        "num_heldout": 6,
        "num_samples": 1,
        "sample_steps": 2,
        "prior": {"title": "Discs", "modality": "none", "licence": "nobody's"},
    }
    for name, value in changes.items():
        section = values.get(name)
        values[name] = section | value if isinstance(section, dict) else value
    return values
