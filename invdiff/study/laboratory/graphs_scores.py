"""What is measured of the graphs that several runs generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import networkx as nx
import numpy as np
import torch

from invdiff.graphs.datasets import GraphSplit
from invdiff.graphs.evaluation import Evaluation, drawn_floor, evaluate_runs
from invdiff.graphs.graph_mmd import GraphMMD, ProtocolName
from invdiff.graphs.isomorphism import IsomorphismClasses
from invdiff.rng import draw_seeds
from invdiff.study.scripted import Arrays, Metrics

__all__ = [
    "PROTOCOLS",
    "STATISTICS",
    "drawn_arrays",
    "pictured",
    "score_arrays",
    "score_metrics",
    "short_metrics",
]

STATISTICS = ("degree", "cluster", "orbit", "spectral", "average")
_SHARES = ("novelty", "uniqueness")
# sets that are drawn from the training graphs
_NUM_DRAWS = 20


class Protocol(NamedTuple):
    """How graphs are compared.

    Args:
        kernels: Of the discrepancies.
        first_only: Whether only as many graphs are scored as there are test graphs.
        mmd: Prefix of the discrepancies among the metrics.
        floor: Prefix of what training graphs get.
    """

    kernels: ProtocolName
    first_only: bool
    mmd: str
    floor: str


PROTOCOLS = {
    "first": Protocol("emd", True, "mmd", "floor"),
    "all": Protocol("emd", False, "all_mmd", "floor_all"),
    "tv": Protocol("tv", True, "tv_mmd", "tv_floor"),
}


def score_arrays(
    runs: Sequence[Sequence[nx.Graph]], split: GraphSplit, protocols: Sequence[str]
) -> Arrays:
    """Evaluate runs in some of the protocols.

    Args:
        runs: Generated graphs.
        split: What they are compared with.
        protocols: Names from ``PROTOCOLS``, "all" among them.

    Returns:
        "MMD_STATISTIC" ``(runs,)`` and "FLOOR_STATISTIC", with the prefixes of each protocol;
        "novelty" and "uniqueness" ``(runs,)`` of all generated graphs.
    """
    arrays: Arrays = {}
    for name in protocols:
        protocol = PROTOCOLS[name]
        found = evaluate_runs(
            runs,
            split.test,
            split.training,
            first_only=protocol.first_only,
            protocol=protocol.kernels,
        ).runs
        floor = found[0].first_floor if protocol.first_only else found[0].floor
        arrays |= _columns(protocol.mmd, [run.mmd for run in found])
        arrays |= {key: v[0] for key, v in _columns(protocol.floor, [floor]).items()}
        if not protocol.first_only:
            arrays |= {share: _shares(found, share) for share in _SHARES}
    return arrays


def drawn_arrays(split: GraphSplit, num_graphs: int, *, generator: torch.Generator) -> Arrays:
    """Return what sets get that are drawn from the training graphs, by a generator that knows them.

    Args:
        split: Test and training graphs.
        num_graphs: Generated graphs of a run.
        generator: On the CPU.

    Returns:
        "drawn_MMD_STATISTIC" ``(draws,)``, with the prefixes of the protocols "first" and "all".
    """
    arrays: Arrays = {}
    for name, count in (("first", min(len(split.test), num_graphs)), ("all", num_graphs)):
        (seed,) = draw_seeds(generator, 1)
        draws = np.random.default_rng(seed)
        found = drawn_floor(
            split.test, split.training, count, num_draws=_NUM_DRAWS, generator=draws
        )
        arrays |= _columns(f"drawn_{PROTOCOLS[name].mmd}", found)
    return arrays


def score_metrics(arrays: Arrays) -> Metrics:
    """Return floors, and mean and standard deviation between runs of all else."""
    metrics: Metrics = {}
    for key, values in arrays.items():
        if key == "seconds":
            continue
        metrics |= {key: float(values)} if values.ndim == 0 else _spread(key, values)
    return metrics


def short_metrics(name: str, arrays: Arrays) -> Metrics:
    """Return what is reported of a further integrator.

    Args:
        name: Of the integrator.
        arrays: As from ``score_arrays``.
    """
    keys = ("mmd_average", "all_mmd_average", *_SHARES)
    found = [_spread(f"{key}_{name}", arrays[key]) for key in keys]
    return {key: value for part in found for key, value in part.items()}


def pictured(generated: Sequence[nx.Graph], split: GraphSplit, count: int) -> Arrays:
    """Return the first test graphs and the first generated ones, as arrays.

    Args:
        generated: Of one run.
        split: Test and training graphs.
        count: Of each.

    Returns:
        For both of "test" and "generated": "NAME_adjacency" ``(count, N, N)``, "NAME_sizes", and
        "NAME_known", whether a training graph is isomorphic.
    """
    known, arrays = IsomorphismClasses(split.training), Arrays()
    for name, graphs in {"test": split.test[:count], "generated": generated[:count]}.items():
        arrays |= {f"{name}_{key}": value for key, value in _padded(graphs).items()}
        arrays[f"{name}_known"] = np.array([graph in known for graph in graphs])
    return arrays


def _columns(prefix: str, found: Sequence[GraphMMD]) -> Arrays:
    return {f"{prefix}_{s}": np.array([getattr(mmd, s) for mmd in found]) for s in STATISTICS}


def _shares(found: Sequence[Evaluation], name: str) -> np.ndarray:
    return np.array([getattr(run, name) for run in found])


def _spread(key: str, values: np.ndarray) -> Mapping[str, float]:
    return {key: float(values.mean()), f"{key}_std": float(values.std(ddof=1))}


def _padded(graphs: Sequence[nx.Graph]) -> Arrays:
    size = max(map(len, graphs))
    adjacency = np.zeros((len(graphs), size, size), np.uint8)
    for row, graph in zip(adjacency, graphs, strict=True):
        row[: len(graph), : len(graph)] = nx.to_numpy_array(graph, weight=None)
    return {"adjacency": adjacency, "sizes": np.array([len(graph) for graph in graphs])}
