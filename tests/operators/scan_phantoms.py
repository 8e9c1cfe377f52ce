"""Chords of discs and balls along any rays, and the rays of a scan given by vectors."""

from __future__ import annotations

import numpy as np
import torch

from operators import ScanVectors


def chords(points, directions, radius: float, centre) -> torch.Tensor:
    """Length of every line within a disc (2D) or a ball (3D), float64."""
    apart = points - np.asarray(centre, dtype=float)
    along = (apart * directions).sum(-1)
    squared = radius**2 - (apart**2).sum(-1) + along**2
    return torch.from_numpy(2 * np.sqrt(np.maximum(squared, 0)))


def vector_rays(scan: ScanVectors):
    """A point on every ray and its unit direction, (views, rows, columns, 3)."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in scan.detector_shape)
    steps = columns[None, :, None] * scan.u[:, None, None]
    steps = steps + rows[:, None, None] * scan.v[:, None, None]
    elements = scan.centre[:, None, None] + steps
    start = np.broadcast_to(scan.emitter[:, None, None], elements.shape)
    direction = start if scan.kind == "parallel" else elements - start
    return elements, direction / np.linalg.norm(direction, axis=-1, keepdims=True)
