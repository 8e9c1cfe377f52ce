"""One comparison of packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from invdiff.bench.contender import Contender
from invdiff.bench.machine import Machine

__all__ = ["Case"]


@dataclass(frozen=True, eq=False)
class Case:
    """One comparison.

    Args:
        title: What is measured, in words.
        batch: Images at once.
        limit: Seconds for the batch below which no implementation can get.
        contenders: By name, ours first; making one may raise ``Unavailable``.
    """

    title: str
    batch: int
    limit: Callable[[Machine], float]
    contenders: dict[str, Callable[[], Contender]]
