r"""How often each node of a graph sits in each place of a small connected subgraph.

The 15 places, or orbits, of induced subgraphs with 2 to 4 nodes, in the order of
:cite:t:`przulj2007`: 0 an edge; 1, 2 end and middle of a path of 3 nodes, 3 a triangle; 4, 5 end
and middle of a path of 4; 6, 7 leaf and centre of a star; 8 a cycle of 4; 9, 10, 11 the tail, the
free corners and the joint of a triangle with a tail; 12, 13 the nodes of degree 2 and 3 of two
triangles on one edge; 14 a complete graph.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from invdiff.graphs.adjacency import AnyGraph, IntArray, as_adjacency

__all__ = ["NUM_ORBITS", "orbit_counts"]

NUM_ORBITS = 15


def orbit_counts(graph: AnyGraph) -> IntArray:
    r"""Count the orbits of each node by products of the adjacency, shape ``(n, 15)``.

    With degrees d, shared neighbours :math:`C = A^2` off the diagonal, :math:`E = A \circ C` and
    triangles :math:`t = E 1 / 2`, what isn't an induced count is one plus multiples of those with
    more edges, such as

    .. math:: \sum_y \binom{C_{xy}}{2} = o_8 + o_{12} + o_{13} + 3\, o_{14}

    so that the counts follow from the densest down, as in :cite:t:`hocevar2014`. The complete
    graphs of 4 nodes take a product for each neighbourhood; all else is a product of n x n
    matrices.

    Args:
        graph: Any that ``as_adjacency`` takes.

    Raises:
        ValueError: It isn't a simple graph.
    """
    # float64 products are exact below 2^53 and run on BLAS, integer ones don't
    a = as_adjacency(graph).astype(np.float64)
    return np.rint(np.stack(_counts(a), axis=1)).astype(np.int64)


def _counts(a: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    d = a.sum(1)
    c = a @ a
    np.fill_diagonal(c, 0)
    e = a * c
    t = e.sum(1) / 2
    o1, o2, o3 = a @ (d - 1) - 2 * t, _pairs(d) - t, t
    o14 = _complete(a, t)
    o13 = (a * _pairs(c)).sum(1) - 3 * o14
    o12 = _far_from_the_edge(a, c) - 3 * o14
    o11 = t * (d - 2) - 2 * o13 - 3 * o14
    o10 = e @ (d - 2) - 2 * (o13 + o12) - 6 * o14
    o9 = a @ t - 2 * t - 2 * o12 - 3 * o14
    o8 = _pairs(c).sum(1) - o12 - o13 - 3 * o14
    o7 = d * (d - 1) * (d - 2) / 6 - o11 - o13 - o14
    o6 = a @ _pairs(d - 1) - o9 - o10 - 2 * o12 - o13 - 3 * o14
    ends = (a * (np.outer(d - 1, d - 1) - c)).sum(1)
    o5 = ends - 2 * (o8 + o11 + o12) - o10 - 4 * o13 - 6 * o14
    walks = a @ (a @ (d - 1)) - d * (d - 1) - 2 * t
    o4 = walks - 2 * (o8 + o9 + o13) - o10 - 4 * o12 - 6 * o14
    return [d, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10, o11, o12, o13, o14]


def _pairs(count: NDArray[np.float64]) -> NDArray[np.float64]:
    return count * (count - 1) / 2


def _complete(a: NDArray[np.float64], triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the triangles among the neighbours of each node."""
    found = np.zeros(len(a))
    # a complete graph of 4 nodes has 3 triangles at each
    for node in np.flatnonzero(triangles > 2):
        near = np.flatnonzero(a[node])
        b = a[np.ix_(near, near)]
        found[node] = ((b @ b) * b).sum() / 6
    return found


def _far_from_the_edge(a: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the triangles at each node with a fourth node that is joined to the other two."""
    return (a @ (a * (c - 1)) * a).sum(1) / 2
