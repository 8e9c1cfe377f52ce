"""Pictures of facts, and the readings that are drawn."""

from __future__ import annotations

import pytest
import torch
from matplotlib.figure import Figure

from invdiff.theory.chapter.drawing import COLORS, draw_estimates, draw_law, draw_order, draw_pairs
from invdiff.theory.chapter.identity import identity_reading


def named_ticks(axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels() if label.get_text()]


def test_colors_differ() -> None:
    assert len(set(COLORS)) == len(COLORS) >= 5


@pytest.mark.parametrize(
    ("steps", "names"),
    [([20, 40, 80], ["20", "40", "80"]), ([0.05, 0.1], ["0.05", "0.1"])],
)
def test_close_steps_are_named(steps, names) -> None:
    axes = Figure().subplots()
    draw_order(axes, steps, {"a": ([step**2 for step in steps], 2.0)}, "steps", "gap")
    assert named_ticks(axes) == names
    assert axes.get_ylabel() == "gap"
    assert axes.get_xticklabels(minor=True) == [] or not any(
        label.get_visible() and label.get_text() for label in axes.get_xticklabels(minor=True)
    )


def test_many_steps_are_thinned_out() -> None:
    axes, steps = Figure().subplots(), [10 + 5 * k for k in range(12)]
    draw_order(axes, steps, {"a": ([1.0] * 12, 0.0)}, "steps")
    assert len(named_ticks(axes)) <= 6


def test_decades_keep_their_ticks() -> None:
    axes = Figure().subplots()
    draw_order(axes, [1e-6, 1e-3, 1.0], {"a": ([1e-6, 1e-3, 1.0], 1.0)}, "tolerance")
    assert "0.001" not in named_ticks(axes)


def test_estimates_pairs_and_laws_are_drawn() -> None:
    upper, middle, lower = Figure().subplots(3)
    draw_estimates(upper, [1, 2], [1.0, 2.0], 0.1, 1.5, ("n", "mean", "exact"))
    draw_pairs(middle, [1, 2], {"a": ([1, 2], [1, 2])}, ("n", "mean"))
    draw_law(lower, [0.1, 0.2], [0, 1], [1, 1], "x", bins=3)
    assert [axes.has_data() for axes in (upper, middle, lower)] == [True] * 3
    assert len(upper.get_legend().get_texts()) == 2


@pytest.mark.parametrize(("off", "holds"), [(0.0, True), (1e-3, False)])
def test_identity_is_read_by_its_largest_error(off, holds) -> None:
    exact = torch.arange(4, dtype=torch.float64)
    measured = exact.clone()
    measured[2] += off
    reading = identity_reading(exact, measured, 1e-6, ("exact", "measured"))
    assert reading.holds is holds
    assert reading.measured == pytest.approx(off)
    axes = Figure().subplots()
    reading.draw(axes)
    assert axes.get_xlabel() == "exact"
