"""Words and tables of the completion of graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.laboratory.graph_completion_cases import GROUPS, Task
from invdiff.study.laboratory.graph_completion_config import MethodConfig
from invdiff.study.laboratory.graph_completion_exact import EXACT_PRIORS
from invdiff.study.laboratory.graph_completion_figures import EXACT_TITLES
from invdiff.study.scripted import Metrics, Table

__all__ = ["captions", "exact_table", "group_table", "summary_text", "task_table"]

# of all numbers of all problems, this many standard errors are reached by chance
_CHANCE = 4.5


def captions(tasks: Sequence[Task], shown: str, repeats: int) -> dict[str, str]:
    """Say what the figures show."""
    found = {
        "exact_posteriors": f"Each sampler, run {repeats} times on the same data. Left, a dot for "
        "each feature or pair: the error of the posterior mean (of the probability of an edge) in "
        "standard errors of the average over the runs, at least those of as many exact draws; "
        "grey: within 3. The axis is logarithmic beyond 5, and ends at 1000. Right: the spread "
        "within a run over that of the posterior.",
        "ranking": "How well the pairs are ranked: probability that an edge stands above a pair "
        "without one. Bars: means over the graphs that are isomorphic to no training graph; "
        "lines: one standard deviation over graphs. Blue: with the trained prior. Dashed: chance. "
        "What a pair's neighbours say is asked of hidden pairs alone.",
        "reliability": "How often there is an edge where a probability was given, over all pairs "
        "asked for of the graphs that are isomorphic to no training graph; the larger a dot, the "
        "more pairs. On the dashed line probabilities are what they say.",
    }
    for task in tasks:
        told = "blue is unknown" if task.kind == "hidden" else "some entries are wrong"
        found[f"links_{task.key}"] = (
            f"Adjacency matrices, nodes ordered by community; as told, {told}. The first graph of "
            "each group: repeated (isomorphic to a training graph), held out, and drawn anew."
        )
        if task.kind == "hidden":
            colors = "grey: hidden; blue: edges that were found"
        else:
            colors = "blue: edges that were put back"
        found[f"graphs_{task.key}"] = (
            f"The same graphs. {colors}; red: edges that aren't there; dotted: edges that are "
            f"missing from the graph of all links above 1/2 of {shown}."
        )
    return found


def exact_table(metrics: Metrics, methods: Sequence[MethodConfig]) -> Table:
    """Return a row for each prior and sampler."""
    rows = tuple(
        (EXACT_TITLES[name], method.title, *_exact_cells(metrics, f"{name}_{method.key}"))
        for name in EXACT_PRIORS
        for method in methods
    )
    caption = (
        "Largest error of a mean, and of a second moment, in the standard errors that the repeats "
        f"show: more than {_CHANCE:g} is no chance. Bias: the largest error of a mean in posterior "
        "standard deviations. Evidence: over the exact one, with its standard error."
    )
    columns = (
        "prior", "sampler", "z of means", "z of second moments", "bias", "std ratio", "evidence",
        "seconds",
    )  # fmt: skip
    return Table("Against exact posteriors", columns, rows, caption)


def task_table(metrics: Metrics, task: Task, titles: Mapping[str, str]) -> Table:
    """Return the scores of all methods, over the graphs that no training graph is."""
    rows = tuple(
        (title, *_task_cells(metrics, f"{task.key}_{key}"))
        for key, title in titles.items()
        if f"auc_{task.key}_{key}" in metrics
    )
    asked = "hidden pairs" if task.kind == "hidden" else "all pairs"
    caption = (
        f"Over {asked} of the {_count(metrics)} graphs that are isomorphic to no training graph; "
        "mean, and standard deviation over graphs. Log loss in nats a pair. Wrong: of the graph "
        "of all links above 1/2. Calibration: mean distance of probabilities from what they turn "
        "out to be. Effective: samples that weights of different size are worth. Independent edges "
        "know the density of the training graphs alone. Two communities: the exact posterior given "
        "how the new graphs were drawn, but for the selection among them; on average over such "
        "graphs no method has a lower log loss or Brier score."
    )
    if task.kind == "wrong":
        caption += f" Wrong before: {100 * metrics[f'before_{task.key}']:.1f} % of the pairs."
    columns = (
        "method", "AUC", "log loss", "Brier", "wrong (%)", "calibration", "effective",
        "seconds a graph",
    )  # fmt: skip
    return Table(task.title.capitalize(), columns, rows, caption)


def group_table(metrics: Metrics, task: Task, titles: Mapping[str, str]) -> Table:
    """Return AUC and log loss of each group of graphs: what of it is memory."""
    groups = np.array(metrics["groups"])
    present = [g for g in range(len(GROUPS)) if (groups == g).any()]
    columns = ["method"]
    for score in ("AUC", "log loss"):
        columns += [f"{score}, {GROUPS[g]} ({(groups == g).sum()})" for g in present]
    rows = []
    for key, title in titles.items():
        cells = [title]
        for score in ("auc", "log_loss"):
            values = metrics.get(f"{score}_{task.key}_{key}_graphs")
            cells += [
                "" if values is None else _mean(np.array(values)[groups == g]) for g in present
            ]
        if f"auc_{task.key}_{key}" in metrics:
            rows.append(tuple(cells))
    caption = (
        "Repeated: test graphs that are isomorphic to a training graph. Held out: the other test "
        "graphs; those of the published community set are made of the same blocks. New: drawn "
        "with blocks of their own. A prior that remembers graphs is best at repeated ones."
    )
    return Table(
        f"{task.title.capitalize()}, by kind of graph", tuple(columns), tuple(rows), caption
    )


def summary_text(
    metrics: Metrics,
    exact: Sequence[MethodConfig],
    tasks: Sequence[Task],
    methods: Sequence[MethodConfig],
) -> str:
    """Say who is exact, and what the prior adds."""
    right = [m.title for m in exact if all(_is_exact(metrics, p, m.key) for p in EXACT_PRIORS)]
    sentences = [
        f"{len(right)} of {len(exact)} samplers are within Monte Carlo error of all three exact "
        f"posteriors{': ' + ', '.join(right) if right else ''}."
    ]
    for task in tasks:
        best = min(methods, key=lambda m: metrics[f"brier_{task.key}_{m.key}"])
        name = f"{task.key}_{best.key}"
        if task.kind == "hidden":
            neighbours = metrics[f"auc_{task.key}_adamic_adar"]
            sentences.append(
                f"With {task.title} the lowest Brier score is that of {best.title}, "
                f"{metrics[f'brier_{name}']:.3f}, AUC {metrics[f'auc_{name}']:.3f}; Adamic-Adar "
                f"has an AUC of {neighbours:.3f}."
            )
        else:
            sentences.append(
                f"Of {100 * metrics[f'before_{task.key}']:.1f} % wrong pairs {best.title} leaves "
                f"{100 * metrics[f'error_{name}']:.1f} %."
            )
    return " ".join(sentences)


def _is_exact(metrics: Metrics, prior: str, key: str) -> bool:
    return bool(max(metrics[f"z_{prior}_{key}"], metrics[f"z_products_{prior}_{key}"]) < _CHANCE)


def _exact_cells(metrics: Metrics, key: str) -> list[str]:
    evidence = "none"
    if f"evidence_{key}" in metrics:
        error = metrics[f"evidence_error_{key}"]
        evidence = f"{metrics[f'evidence_{key}']:.3f} ± {error:.3f}"
    return [
        f"{metrics[f'z_{key}']:.1f}",
        f"{metrics[f'z_products_{key}']:.1f}",
        f"{metrics[f'bias_{key}']:.3f}",
        f"{metrics[f'std_ratio_{key}']:.2f}",
        evidence,
        f"{metrics[f'seconds_{key}']:.1f}",
    ]


def _task_cells(metrics: Metrics, key: str) -> list[str]:
    cells = [_spread(metrics, f"{score}_{key}", 1) for score in ("auc", "log_loss", "brier")]
    cells.append(_spread(metrics, f"error_{key}", 100))
    for score, form in (("calibration", ".3f"), ("effective", ".1f"), ("seconds", ".1f")):
        value = metrics.get(f"{score}_{key}")
        cells.append("" if value is None else f"{value:{form}}")
    return cells


def _spread(metrics: Metrics, name: str, factor: float) -> str:
    values = metrics.get(f"{name}_graphs")
    if values is None:
        return ""
    new = factor * np.array(values)[np.array(metrics["groups"]) > 0]
    digits = 3 if factor == 1 else 1
    spread = f" ± {new.std(ddof=1):.{digits}f}" if len(new) > 1 else ""
    return f"{new.mean():.{digits}f}{spread}"


def _mean(values: NDArray[Any]) -> str:
    return f"{values.mean():.3f}"


def _count(metrics: Metrics) -> int:
    return sum(group > 0 for group in metrics["groups"])
