"""Two-dimensional scans as one vector for every view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.ct.detector import Array

_NAMES = ("emitter", "centre", "u")


@dataclass(frozen=True, eq=False)
class VectorGeometry2D:
    """Where source and detector are in every view, for scans that follow no simple path.

    Ray (view w, element d) passes through ``centre[w] + (d - (num_detectors - 1) / 2) u[w]``.

    Args:
        kind: Whether rays are parallel, or come from a point.
        emitter: Direction of the rays (parallel), or position of the source in mm (fan);
            (views, 2) in x, y.
        centre: Centre of the detector in mm, (views, 2).
        u: Step from one detector element to the next in mm, (views, 2).
        num_detectors: Detector elements.

    Raises:
        ValueError: If an array has another shape or isn't finite, a detector is degenerate or
            parallel to its central ray, or it has no element.
    """

    kind: Literal["parallel", "fan"]
    emitter: Array
    centre: Array
    u: Array
    num_detectors: int

    def __post_init__(self) -> None:
        if self.kind not in ("parallel", "fan"):
            raise ValueError(f"scan kind must be parallel or fan, got {self.kind!r}")
        if self.num_detectors < 1:
            raise ValueError(f"num_detectors must be positive, got {self.num_detectors}")
        for name in _NAMES:
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.ndim != 2 or values.shape != (len(self.emitter), 2) or not len(values):
                raise ValueError(f"{name}: expected (views, 2) with a view, got {values.shape}")
            if not np.isfinite(values).all():
                raise ValueError(f"{name}: not finite")
            object.__setattr__(self, name, values)
        forward = self.emitter if self.kind == "parallel" else self.centre - self.emitter
        area = np.abs(self.u[:, 0] * forward[:, 1] - self.u[:, 1] * forward[:, 0])
        scale = np.linalg.norm(self.u, axis=1) * np.linalg.norm(forward, axis=1)
        if not (area > 1e-6 * scale).all():
            raise ValueError("a detector is degenerate, or parallel to its central ray")

    @property
    def shape(self) -> tuple[int, int]:
        """(views, detector elements)."""
        return len(self.emitter), self.num_detectors

    def rays(self) -> tuple[Array, Array]:
        """Return a point on every ray and its unit direction, shape (views, detectors, 2)."""
        steps = np.arange(self.num_detectors) - (self.num_detectors - 1) / 2
        elements = self.centre[:, None] + steps[None, :, None] * self.u[:, None]
        start = np.broadcast_to(self.emitter[:, None], elements.shape)
        if self.kind == "parallel":
            return elements, start / np.linalg.norm(start, axis=-1, keepdims=True)
        direction = elements - start
        return start, direction / np.linalg.norm(direction, axis=-1, keepdims=True)
