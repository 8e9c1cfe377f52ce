"""One statement of the theory, and what a check of it reads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Fact", "Reading", "Relation", "Section"]

Relation = Literal["=", "<=", ">="]


@dataclass(frozen=True, eq=False)
class Reading:
    """What a check measured, beside what is exact.

    Args:
        measured: The value computed by the package, or the largest error of many.
        exact: The value it must have, in closed form or by an independent way; or its bound.
        tolerance: How far the two may be apart, not negative.
        reason: Why this much, such as "rounding in double precision" or "4.5 standard errors".
        draw: Draws the fact into one pair of axes.
        relation: Whether the measured value equals the exact one, or stays below or above it.

    Raises:
        ValueError: A tolerance that is negative or not finite.
    """

    measured: float
    exact: float
    tolerance: float
    reason: str
    draw: Callable[[Axes], None]
    relation: Relation = "="

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"tolerance: expected 0 or more, got {self.tolerance}")

    @property
    def holds(self) -> bool:
        """Whether the fact is within its tolerance; what is not a number is not."""
        # numbers of numpy would give a truth of numpy, which JSON doesn't know
        difference, tolerance = float(self.measured) - float(self.exact), float(self.tolerance)
        if self.relation == "<=":
            return difference <= tolerance
        if self.relation == ">=":
            return -difference <= tolerance
        return abs(difference) <= tolerance


@dataclass(frozen=True, eq=False)
class Fact:
    """A statement with a check.

    Args:
        key: Its name, in words joined by hyphens.
        claim: One or two sentences in plain text.
        equation: The same in LaTeX, without delimiters.
        source: Keys of the bibliography.
        check: Computes both sides, in a few seconds on one core, always with the same numbers.
    """

    key: str
    claim: str
    equation: str
    source: tuple[str, ...]
    check: Callable[[], Reading]


@dataclass(frozen=True, eq=False)
class Section:
    """Facts that belong together.

    Args:
        key: Its name, in words joined by hyphens.
        title: Its heading.
        text: What the view is about, in a few sentences.
        facts: In the order in which they are best read.
    """

    key: str
    title: str
    text: str
    facts: tuple[Fact, ...]
