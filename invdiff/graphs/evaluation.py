"""How good generated graphs are: discrepancies beside their floors, novelty and uniqueness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from invdiff.graphs.adjacency import AnyGraph, IntArray, as_adjacency
from invdiff.graphs.descriptors import Descriptors, describe
from invdiff.graphs.graph_mmd import GraphMMD, ProtocolName, graph_mmd
from invdiff.graphs.isomorphism import novelty, uniqueness

__all__ = ["Evaluation", "RunsEvaluation", "drawn_floor", "evaluate_graphs", "evaluate_runs"]


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate_graphs`` finds.

    Args:
        mmd: Generated against test graphs.
        floor: All training graphs against test graphs: what a perfect generator gets with so many.
        first_floor: The first training graphs, as many as test graphs, against test graphs.
        novelty: Share of scored graphs that are isomorphic to no training graph.
        uniqueness: Distinct graphs over scored ones.
        num_scored: Graphs that the other numbers are about.
    """

    mmd: GraphMMD
    floor: GraphMMD
    first_floor: GraphMMD
    novelty: float
    uniqueness: float
    num_scored: int

    def scores(self) -> dict[str, float]:
        """Return the numbers that depend on the generated graphs, by name."""
        return {
            "degree": self.mmd.degree,
            "cluster": self.mmd.cluster,
            "orbit": self.mmd.orbit,
            "spectral": self.mmd.spectral,
            "average": self.mmd.average,
            "novelty": self.novelty,
            "uniqueness": self.uniqueness,
            "num_scored": self.num_scored,
        }


@dataclass(frozen=True)
class RunsEvaluation:
    """Evaluations of several runs, and what they have in common.

    Args:
        runs: One for each run.
        mean: Of each of ``Evaluation.scores`` over the runs.
        std: Their standard deviation between runs, with n - 1; NaN for one run.
    """

    runs: tuple[Evaluation, ...]
    mean: dict[str, float]
    std: dict[str, float]


def evaluate_graphs(
    generated: Sequence[AnyGraph],
    test: Sequence[AnyGraph],
    training: Sequence[AnyGraph],
    *,
    first_only: bool,
    protocol: ProtocolName = "emd",
) -> Evaluation:
    """Compare generated graphs with test graphs, and with what training graphs would get.

    A discrepancy can't tell memory from generalisation, and one of few graphs is never 0: read it
    beside the floors and the novelty. Generated graphs without nodes are left out and not counted.

    Args:
        generated: Any that ``as_adjacency`` takes, without padding: what pads a graph would count
            as nodes without neighbours.
        test: Likewise.
        training: Likewise.
        first_only: Score the first generated graphs only, as many as test graphs, as
            :cite:t:`jo2022` do; else all of them.
        protocol: Kernels, see ``graph_mmd``.

    Raises:
        ValueError: A set without graphs, no generated graph that has nodes, or no such protocol.
    """
    return evaluate_runs(
        [generated], test, training, first_only=first_only, protocol=protocol
    ).runs[0]


def evaluate_runs(
    runs: Sequence[Sequence[AnyGraph]],
    test: Sequence[AnyGraph],
    training: Sequence[AnyGraph],
    *,
    first_only: bool,
    protocol: ProtocolName = "emd",
) -> RunsEvaluation:
    """Evaluate what several seeds generated, with the spread between them.

    Args:
        runs: The generated graphs of each run.
        test: As for ``evaluate_graphs``.
        training: Likewise.
        first_only: Likewise.
        protocol: Likewise.

    Raises:
        ValueError: No runs, or what ``evaluate_graphs`` refuses.
    """
    if not len(runs):
        raise ValueError("evaluate_runs: expected at least one run, got none")
    expected, known = describe(test), [as_adjacency(graph) for graph in training]
    floor = graph_mmd(expected, describe(known), protocol=protocol)
    first_floor = graph_mmd(expected, describe(known[: len(test)]), protocol=protocol)
    evaluations = []
    for generated in runs:
        scored = _scored(generated, len(test) if first_only else None)
        evaluations.append(
            Evaluation(
                graph_mmd(expected, describe(scored), protocol=protocol),
                floor,
                first_floor,
                novelty(scored, known),
                uniqueness(scored),
                len(scored),
            )
        )
    return _summary(tuple(evaluations))


def drawn_floor(
    test: Sequence[AnyGraph],
    training: Sequence[AnyGraph],
    count: int,
    *,
    num_draws: int,
    generator: np.random.Generator,
    protocol: ProtocolName = "emd",
) -> list[GraphMMD]:
    """Return the discrepancies of sets that are drawn from the training graphs, with replacement.

    This is what a generator gets that has learnt the training graphs exactly; their mean is above
    the floor of all training graphs, for a set of few graphs is farther from any other.

    Args:
        test: As for ``evaluate_graphs``.
        training: Likewise.
        count: Graphs of each set, as many as are scored.
        num_draws: Sets.
        generator: The only source of randomness.
        protocol: As for ``evaluate_graphs``.

    Raises:
        ValueError: No graphs, or a count below 1.
    """
    if count < 1 or num_draws < 1:
        raise ValueError(f"drawn_floor: expected counts of at least 1, got {count}, {num_draws}")
    expected, known = describe(test), describe(training)
    draws = generator.integers(len(training), size=(num_draws, count))
    return [
        graph_mmd(expected, Descriptors(*(rows[chosen] for rows in known)), protocol=protocol)
        for chosen in draws
    ]


def _scored(generated: Sequence[AnyGraph], count: int | None) -> list[IntArray]:
    found = [as_adjacency(graph) for graph in generated[:count]]
    return [a for a in found if len(a)]


def _summary(runs: tuple[Evaluation, ...]) -> RunsEvaluation:
    columns = {name: [run.scores()[name] for run in runs] for name in runs[0].scores()}
    mean = {name: float(np.mean(values)) for name, values in columns.items()}
    std = {
        name: float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        for name, values in columns.items()
    }
    return RunsEvaluation(runs, mean, std)
