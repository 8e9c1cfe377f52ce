"""The reading of an identity: two arrays that are the same."""

from __future__ import annotations

from torch import Tensor

from invdiff.theory.chapter.drawing import draw_diagonal
from invdiff.theory.chapter.fact import Reading
from invdiff.theory.chapter.laws import ROUNDING

__all__ = ["identity_reading"]


def identity_reading(
    exact: Tensor,
    measured: Tensor,
    tolerance: float,
    labels: tuple[str, str],
    reason: str = ROUNDING,
) -> Reading:
    """Return the largest difference of two arrays, drawn as points on the diagonal.

    Args:
        exact: What it must be, of any shape.
        measured: What the package says, of that shape.
        tolerance: How large the difference may be.
        labels: What the exact and the measured values are.
        reason: Why this much.
    """
    return Reading(
        float((measured - exact).abs().max()), 0.0, tolerance, reason,
        lambda axes: draw_diagonal(axes, exact, measured, *labels),
    )  # fmt: skip
