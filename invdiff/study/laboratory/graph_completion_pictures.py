"""The graphs that are shown: one of each group, nodes ordered by community."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.graphs.state import from_pairs
from invdiff.study.laboratory.graph_completion_cases import Case, Task
from invdiff.study.laboratory.graph_completion_scores import case_slices
from invdiff.study.laboratory.graph_pictures import by_community, graph_positions
from invdiff.study.scripted import Arrays

__all__ = ["pictured"]


def pictured(
    task: Task, cases: Sequence[Case], groups: Sequence[int], links: NDArray[Any]
) -> Arrays:
    """Return what is shown of the first graph of each group.

    Args:
        task: Begins the names.
        cases: The graphs.
        groups: Of each.
        links: Probabilities of all pairs of all graphs.

    Returns:
        By task and group: ``truth``, ``told`` and ``links``, matrices; ``places`` of the nodes
        in a drawing, ``(n, 2)``.
    """
    parts, found = case_slices(cases), Arrays()
    for group in sorted(set(groups)):
        k = list(groups).index(group)
        case = cases[k]
        graph = nx.from_numpy_array(case.adjacency.numpy().astype(int))
        order, places = by_community(graph), graph_positions(graph)
        matrix = from_pairs(torch.from_numpy(links[parts[k]]), len(order)).numpy()
        grid = np.ix_(order, order)
        name = f"{task.key}_{group}"
        found |= {
            f"truth_{name}": case.adjacency.numpy()[grid],
            f"told_{name}": case.told.numpy()[grid],
            f"matrix_{name}": matrix[grid],
            f"places_{name}": np.array([places[node] for node in order]),
        }
    return found
