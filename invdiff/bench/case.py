"""One comparison of packages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from invdiff.bench.contender import Contender
from invdiff.bench.machine import Machine

__all__ = ["Case", "chosen_names"]


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


def chosen_names(known: Collection[str], names: Sequence[str], rounds: int) -> Collection[str]:
    """Return the names of the cases to be timed, all if none is asked for.

    Raises:
        ValueError: An unknown case, or no rounds.
    """
    unknown = sorted(set(names) - set(known))
    if unknown or rounds < 1:
        raise ValueError(
            f"bench: expected cases out of {', '.join(known)} and rounds >= 1, "
            f"got {', '.join(unknown) or rounds}"
        )
    return names or known
