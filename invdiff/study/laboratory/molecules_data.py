"""The molecules that are learnt from, and those that are kept from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from invdiff.graphs.molecule_quality import valid_smiles
from invdiff.graphs.molecules import molecules_from_smiles, to_molecules
from invdiff.graphs.moments import GraphMoments, graph_moments
from invdiff.graphs.state import GraphState

__all__ = ["MoleculeSplit", "batched", "molecule_moments", "round_trip", "split_molecules"]


class MoleculeSplit(NamedTuple):
    """Graphs of molecules whose entries are bytes.

    Args:
        training: Leading shape ``(count,)``.
        heldout: The same of other entries of the list.
        num_left_out: Molecules that don't fit the settings.
    """

    training: GraphState
    heldout: GraphState
    num_left_out: int


def split_molecules(
    smiles: Sequence[str],
    *,
    atoms: Sequence[str],
    max_nodes: int,
    fraction: float,
    generator: torch.Generator,
) -> MoleculeSplit:
    """Encode molecules, and draw those that are held out.

    Args:
        smiles: One for each molecule.
        atoms: Symbols of the features.
        max_nodes: N.
        fraction: That is held out, in (0, 1); at least one molecule is on either side.
        generator: On the CPU.

    Raises:
        ValueError: A SMILES that cannot be read, or fewer than two molecules that fit.
    """
    found = molecules_from_smiles(smiles, atoms=atoms, max_nodes=max_nodes, dtype=torch.uint8)
    count = len(found.smiles)
    if count < 2:
        raise ValueError(f"smiles: expected two or more molecules that fit, got {count}")
    num_heldout = min(max(1, round(fraction * count)), count - 1)
    order = torch.randperm(count, generator=generator)
    # in the order of the list
    sides = (order[num_heldout:].sort().values, order[:num_heldout].sort().values)
    training, heldout = (GraphState(*(part[side] for part in found.state)) for side in sides)
    return MoleculeSplit(training, heldout, found.num_left_out)


def batched(graphs: GraphState, size: int) -> Iterator[GraphState]:
    """Yield so many graphs at a time, in float32."""
    for first in range(0, len(graphs.mask), size):
        nodes, adjacency, mask = (part[first : first + size] for part in graphs)
        yield GraphState(nodes.float(), adjacency.float(), mask)


def molecule_moments(graphs: GraphState, size: int = 1000) -> GraphMoments:
    """Return ``graph_moments`` without a copy of all graphs in double precision.

    Args:
        graphs: Of molecules.
        size: Graphs at a time.
    """
    parts = [graph_moments(part) for part in batched(graphs, size)]
    sizes = sum((Counter(part.sizes) for part in parts), Counter[int]())
    nodes = [sum(n * count for n, count in part.sizes.items()) for part in parts]
    pairs = [sum(n * (n - 1) * count for n, count in part.sizes.items()) for part in parts]
    node_mean, node_variance = _pooled(
        nodes, [part.node_mean for part in parts], [part.node_variance for part in parts]
    )
    edge_mean, edge_variance = _pooled(
        pairs, [(part.edge_mean,) for part in parts], [(part.edge_variance,) for part in parts]
    )
    return GraphMoments(
        dict(sorted(sizes.items())), node_mean, node_variance, edge_mean[0], edge_variance[0]
    )


def round_trip(graphs: GraphState, atoms: Sequence[str], size: int = 1000) -> list[str]:
    """Return canonical SMILES of graphs, which have forgotten charges, of those that are valid.

    Args:
        graphs: Of molecules.
        atoms: Symbols of the features.
        size: Graphs at a time.
    """
    parts = (valid_smiles(to_molecules(part, atoms=atoms)) for part in batched(graphs, size))
    return [text for part in parts for text in part]


def _pooled(
    counts: Sequence[int],
    means: Sequence[tuple[float, ...]],
    variances: Sequence[tuple[float, ...]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and variance of all entries from those of each part."""
    share, m = np.array(counts) / max(1, sum(counts)), np.array(means)
    mean = share @ m
    variance = share @ (np.array(variances) + (m - mean) ** 2)
    return tuple(mean.tolist()), tuple(variance.tolist())
