"""Slices of many scans, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.training.slice_set import SliceSet

__all__ = ["Piece", "joined", "thinned"]


@dataclass(frozen=True, eq=False)
class Piece:
    """The slices of one scan.

    Args:
        values: ``(slices, channels, side, side)``.
        subjects: A name for each; "" where nobody knows.
        labels: The name of a class for each; None if there are none.
        source: Where they are from.
    """

    values: NDArray[Any]
    subjects: Sequence[str]
    labels: Sequence[str] | None
    source: str


def joined(pieces: Sequence[Piece]) -> SliceSet:
    """Put scans one behind the other, classes sorted by name.

    Raises:
        ValueError: Slices of different shapes.
    """
    first = pieces[0]
    for piece in pieces:
        if piece.values.shape[1:] != first.values.shape[1:]:
            raise ValueError(
                f"slices: {first.source} has (channels, rows, columns) {first.values.shape[1:]}, "
                f"but {piece.source} has {piece.values.shape[1:]}"
            )
    names = [name for piece in pieces for name in piece.labels or ()]
    classes = tuple(sorted(set(names)))
    labels = torch.tensor([classes.index(name) for name in names]) if classes else None
    return SliceSet(
        torch.from_numpy(np.concatenate([piece.values for piece in pieces])),
        tuple(name for piece in pieces for name in piece.subjects),
        labels,
        classes,
    )


def thinned(slices: SliceSet, most: int) -> SliceSet:
    """Return at most so many slices of each subject, spread evenly over those there are."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(slices.subjects):
        rows.setdefault(name, []).append(row)
    kept = [found[i] for found in rows.values() for i in _spread(len(found), most)]
    return slices.subset(sorted(kept))


def _spread(total: int, most: int) -> list[int]:
    # the middles of equal parts, so that neither end is preferred
    count = min(total, most)
    return [int((2 * i + 1) * total / (2 * count)) for i in range(count)]
