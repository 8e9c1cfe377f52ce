"""The check of a fact, carried out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from invdiff.suggestion import did_you_mean
from invdiff.theory.chapter.fact import Fact, Reading, Section

__all__ = ["Verdict", "chosen", "verify"]


@dataclass(frozen=True, eq=False)
class Verdict:
    """How a check went.

    Args:
        fact: What was checked.
        reading: What it read; None if the check itself failed.
        error: Why the check failed, in one line; empty if it didn't.
        seconds: How long it took.
    """

    fact: Fact
    reading: Reading | None
    error: str
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the fact was read and is within its tolerance."""
        return self.reading is not None and self.reading.holds


def verify(fact: Fact) -> Verdict:
    """Carry out the check of a fact; a check that raises is a fact that doesn't hold."""
    started, reading, error = time.perf_counter(), None, ""
    try:
        reading = fact.check()
    # a broken formula may raise anything, and the other facts are still to be read
    except Exception as raised:
        error = f"{type(raised).__name__}: {' '.join(str(raised).split())}"
    return Verdict(fact, reading, error, time.perf_counter() - started)


def chosen(sections: Iterable[Section], words: Sequence[str]) -> list[Section]:
    """Return what is named by the keys of sections or facts, in the order of the chapter.

    Args:
        sections: All there are.
        words: Keys; none for everything.

    Raises:
        ValueError: A word that is no key.
    """
    sections = list(sections)
    known = {s.key for s in sections} | {f.key for s in sections for f in s.facts}
    unknown = [word for word in words if word not in known]
    if unknown:
        near = did_you_mean(unknown[0], sorted(known))
        names = ", ".join(map(repr, unknown))
        raise ValueError(f"no section and no fact is called {names}{near}")
    parts = [(s, _facts(s, words)) for s in sections]
    return [Section(s.key, s.title, s.text, facts) for s, facts in parts if facts]


def _facts(section: Section, words: Sequence[str]) -> tuple[Fact, ...]:
    if not words or section.key in words:
        return section.facts
    return tuple(fact for fact in section.facts if fact.key in words)
