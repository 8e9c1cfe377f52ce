"""What is compared of two sets of graphs: one vector for each graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvalsh

from invdiff.graphs.adjacency import AnyGraph, IntArray, as_adjacency, as_networkx
from invdiff.graphs.orbits import orbit_counts

__all__ = [
    "Descriptors",
    "clustering_distribution",
    "degree_distribution",
    "describe",
    "orbit_means",
    "spectral_distribution",
]

FloatArray = NDArray[np.float64]

_CLUSTERING_BINS = 100
_SPECTRAL_BINS = 200
# zeros of the spectrum come out with either sign
_SPECTRAL_RANGE = (-1e-5, 2.0)


class Descriptors(NamedTuple):
    """The descriptors of a set of graphs, one row each.

    Args:
        degree: As from ``degree_distribution``, zeros up to the largest degree of the set.
        cluster: As from ``clustering_distribution``.
        orbit: As from ``orbit_means``.
        spectral: As from ``spectral_distribution``.
    """

    degree: FloatArray
    cluster: FloatArray
    orbit: FloatArray
    spectral: FloatArray


def describe(graphs: Sequence[AnyGraph]) -> Descriptors:
    """Return the descriptors of a set of graphs, of whatever sizes.

    Raises:
        ValueError: No graphs, one without nodes, or one that isn't simple.
    """
    if not len(graphs):
        raise ValueError("describe: expected at least one graph, got none")
    found = [as_adjacency(graph) for graph in graphs]
    degrees = [degree_distribution(a) for a in found]
    support = max(len(p) for p in degrees)
    return Descriptors(
        np.stack([np.pad(p, (0, support - len(p))) for p in degrees]),
        np.stack([clustering_distribution(a) for a in found]),
        np.stack([orbit_means(a) for a in found]),
        np.stack([spectral_distribution(a) for a in found]),
    )


def degree_distribution(graph: AnyGraph) -> FloatArray:
    """Return the share of nodes of each degree, from 0 to the largest.

    Raises:
        ValueError: No nodes, or not a simple graph.
    """
    a = _with_nodes(graph)
    return np.bincount(a.sum(1)) / len(a)


def clustering_distribution(graph: AnyGraph) -> FloatArray:
    """Return the shares of nodes whose clustering coefficient is in each of 100 bins of [0, 1].

    The coefficient is the share of pairs of neighbours that are joined; 0 below two neighbours.

    Raises:
        ValueError: No nodes, or not a simple graph.
    """
    values = list(nx.clustering(as_networkx(_with_nodes(graph))).values())
    return _histogram(np.array(values), _CLUSTERING_BINS, (0.0, 1.0))


def orbit_means(graph: AnyGraph) -> FloatArray:
    """Return the counts of ``orbit_counts`` averaged over the nodes, shape ``(15,)``.

    Raises:
        ValueError: No nodes, or not a simple graph.
    """
    return orbit_counts(_with_nodes(graph)).mean(0)


def spectral_distribution(graph: AnyGraph) -> FloatArray:
    r"""Return the shares of eigenvalues of the normalised Laplacian in 200 bins of [-1e-5, 2].

    .. math:: L = D^{-1/2} (D - A) D^{-1/2}

    Nodes without neighbours have the eigenvalue 0. That of 2, which bipartite graphs have, is
    in the last bin however it is rounded.

    Raises:
        ValueError: No nodes, or not a simple graph.
    """
    laplacian = nx.normalized_laplacian_matrix(as_networkx(_with_nodes(graph))).toarray()
    values = np.minimum(eigvalsh(laplacian), _SPECTRAL_RANGE[1])
    return _histogram(values, _SPECTRAL_BINS, _SPECTRAL_RANGE)


def _with_nodes(graph: AnyGraph) -> IntArray:
    found = as_adjacency(graph)
    if not len(found):
        raise ValueError("descriptors: expected a graph with nodes, got none")
    return found


def _histogram(values: FloatArray, bins: int, limits: tuple[float, float]) -> FloatArray:
    return np.histogram(values, bins, limits)[0] / len(values)
