"""Orders of convergence, read off errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from invdiff.theory.chapter.drawing import draw_order
from invdiff.theory.chapter.fact import Reading

__all__ = ["fitted_order", "order_reading"]


def fitted_order(steps: ArrayLike, errors: ArrayLike) -> float:
    """Return the slope of log error over log step, by least squares."""
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def order_reading(
    lines: Mapping[str, tuple[ArrayLike, float]],
    counts: Sequence[int],
    tolerance: float = 0.15,
    ylabel: str = "error",
) -> Reading:
    """Compare the order of the first method with the one that it should have.

    Args:
        lines: For each method its errors, and their order in the step.
        counts: Numbers of steps.
        tolerance: How far the order may be off at these steps.
        ylabel: What the errors are.
    """
    steps = 1 / np.asarray(counts)
    errors, order = next(iter(lines.values()))
    return Reading(
        fitted_order(steps, errors), order, tolerance,
        "the next order of the error at these steps",
        lambda axes: draw_order(axes, steps, lines, "1 / steps", ylabel),
    )  # fmt: skip
