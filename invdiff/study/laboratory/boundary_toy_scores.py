"""Metrics and tables of the toy study of boundary conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from invdiff.study.scripted import Arrays, Metrics, Table

__all__ = ["loss_metrics", "loss_table", "order_table"]


def loss_metrics(found: Arrays, counts: Sequence[int], references: int) -> Metrics:
    """Return means over repetitions, their standard errors and the scatter of one repetition.

    Args:
        found: See ``Searches.repeat``.
        counts: K of the columns.
        references: R.
    """
    metrics: Metrics = {}
    for j, count in enumerate(counts):
        metrics |= _moments(f"best_of_{count}", found["best_held_out"][:, j])
        metrics |= _moments(f"best_of_{count}_reference", found["best_reference"][:, j])
    for name in ("random", "zero", "optimum", "mean"):
        metrics |= _moments(name, found[f"{name}_held_out"])
    for name in ("zero", "optimum"):
        metrics |= _moments(f"{name}_reference", found[f"{name}_reference"])
    # both on the same pairs: what the references' error costs, tr S / R in closed form
    excess = references * (found["optimum_held_out"] - found["zero_held_out"])
    metrics |= _moments("optimum_excess_times_references", excess)
    return metrics | {"random_std_of_candidates": float(found["random_std"].mean())}


def loss_table(metrics: Metrics, counts: Sequence[int], references: int) -> Table:
    """Return one row a boundary: held-out and reference losses, and what closed form there is."""
    exact = f"1 + 1/{references}"
    names = {"random": ("random", "2"), "zero": ("x_T = 0", "1"), "optimum": ("optimum", exact)}
    names |= {f"best_of_{count}": (f"best of {count}", "") for count in counts}
    names |= {"mean": ("posterior mean, no ODE", "1")}
    order = ["random", *(f"best_of_{count}" for count in counts), "zero", "optimum", "mean"]
    rows = tuple(_loss_row(metrics, name, *names[name]) for name in order)
    columns = (
        "boundary",
        "held out",
        "scatter of one search",
        "on the references",
        "one search, integrated",
        "closed form",
    )
    caption = (
        "Squared error in units of tr S: mean over the repetitions, with its standard error, and "
        "the standard deviation of one repetition. Held out: on pairs that no search has seen. "
        "Integrated: one repetition of the published search, every image by its own ODE."
    )
    return Table("Loss of boundaries", columns, rows, caption)


def order_table(metrics: Metrics, problems: Sequence[str], methods: Mapping[str, int]) -> Table:
    """Return one row a method: fitted and expected orders, and the error of the most calls."""
    rows = tuple(
        (
            method,
            str(order),
            *(f"{metrics[f'order_{problem}_{method}']:.2f}" for problem in problems),
            *(f"{metrics[f'error_{problem}_{method}']:.1e}" for problem in problems),
        )
        for method, order in methods.items()
    )
    columns = (
        "method",
        "expected",
        *(f"order, {problem}" for problem in problems),
        *(f"last error, {problem}" for problem in problems),
    )
    caption = (
        "Order: of the error in the number of network calls, over the last half of their numbers. "
        "Last error: with the most calls, over the spread of the images."
    )
    return Table("Orders of the integrators", columns, rows, caption)


def _moments(name: str, values: NDArray[Any]) -> Metrics:
    scatter = float(values.std(ddof=1))
    return {
        name: float(values.mean()),
        f"{name}_se": scatter / len(values) ** 0.5,
        f"{name}_scatter": scatter,
    }


def _loss_row(metrics: Metrics, name: str, title: str, exact: str) -> tuple[str, ...]:
    def number(key: str) -> str:
        return f"{metrics[key]:.3f}" if key in metrics else ""

    held_out = f"{metrics[name]:.3f} +- {metrics[f'{name}_se']:.3f}"
    others = (f"{name}_scatter", f"{name}_reference", f"{name}_integrated")
    return (title, held_out, *(number(key) for key in others), exact)
