"""Every fact of the chapter holds, is drawn, and is found under a name of its own."""

from __future__ import annotations

import math
import re
from pathlib import Path

import matplotlib
import pytest

from invdiff.theory.chapter import SECTIONS, Fact, Reading

FACTS = [fact for section in SECTIONS for fact in section.facts]
REFERENCES = Path(__file__).parents[4] / "docs" / "references.bib"


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.key)
def test_fact_holds_and_is_drawn(fact: Fact) -> None:
    from matplotlib.figure import Figure

    matplotlib.use("agg")
    reading = fact.check()
    assert reading.holds, f"{reading.measured} {reading.relation} {reading.exact}"
    assert reading.reason
    axes = Figure().subplots()
    reading.draw(axes)
    assert axes.has_data()


def test_keys_are_unique() -> None:
    keys = [fact.key for fact in FACTS]
    assert len(keys) == len(set(keys))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key) for key in keys)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.key)
def test_source_is_in_the_bibliography(fact: Fact) -> None:
    known = set(re.findall(r"^@\w+\{(\w+),", REFERENCES.read_text(), re.MULTILINE))
    assert fact.source
    assert set(fact.source) <= known


@pytest.mark.parametrize(
    ("relation", "measured", "holds"),
    [
        ("=", 1.1, True),
        ("=", 1.3, False),
        ("=", 0.7, False),
        ("<=", 0.0, True),
        ("<=", 1.3, False),
        (">=", 9.0, True),
        (">=", 0.7, False),
        ("=", math.nan, False),
        ("<=", math.nan, False),
        (">=", math.nan, False),
    ],
)
def test_reading_holds_within_its_tolerance(relation, measured, holds) -> None:
    assert Reading(measured, 1.0, 0.2, "", lambda axes: None, relation).holds is holds


def test_negative_tolerance_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tolerance: expected 0 or more, got -1"):
        Reading(1.0, 1.0, -1.0, "", lambda axes: None)
