"""The molecules that are learnt from, and those that are kept from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from invdiff.graphs.molecule_quality import valid_smiles
from invdiff.graphs.molecules import molecules_from_smiles, to_molecules
from invdiff.graphs.state import GraphState

__all__ = ["MoleculeSplit", "batched", "round_trip", "split_molecules"]


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


def round_trip(graphs: GraphState, atoms: Sequence[str], size: int = 1000) -> list[str]:
    """Return canonical SMILES of graphs, which have forgotten charges, of those that are valid.

    Args:
        graphs: Of molecules.
        atoms: Symbols of the features.
        size: Graphs at a time.
    """
    parts = (valid_smiles(to_molecules(part, atoms=atoms)) for part in batched(graphs, size))
    return [text for part in parts for text in part]
