"""Which slices are learnt from, and which are kept from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field, NonNegativeInt, model_validator

from invdiff.study.base import Config
from invdiff.training.slice_set import SliceSet

__all__ = ["Split", "SplitConfig"]


@dataclass(frozen=True, eq=False)
class Split:
    """What is learnt from, and what is kept from it.

    Args:
        slices: All.
        training_rows: Indices of the slices that are learnt from.
        heldout_rows: Those of other subjects, or of a block far from the rest.
        by_subject: Whether it is known that nobody is in both.
        subject_names: Whether ``describe`` says the names of the subjects.
    """

    slices: SliceSet
    training_rows: tuple[int, ...]
    heldout_rows: tuple[int, ...]
    by_subject: bool
    subject_names: bool = False

    @property
    def training(self) -> SliceSet:
        """The slices that are learnt from."""
        return self.slices.subset(self.training_rows)

    @property
    def heldout(self) -> SliceSet:
        """The slices that are kept from it."""
        return self.slices.subset(self.heldout_rows)

    def describe(self) -> dict[str, Any]:
        """Return counts and subjects on both sides, for a model card.

        Subjects are numbers from 1 in the order of their names, unless names are to be said: a card
        goes where a PatientID must not.
        """
        return {
            "by_subject": self.by_subject,
            "training": self._side(self.training_rows),
            "heldout": self._side(self.heldout_rows),
            "left_out": len(self.slices) - len(self.training_rows) - len(self.heldout_rows),
        }

    def _side(self, rows: tuple[int, ...]) -> dict[str, Any]:
        everybody = sorted(set(self.slices.subjects) - {""})
        own = {self.slices.subjects[i] for i in rows}
        shown = [
            name if self.subject_names else number
            for number, name in enumerate(everybody, 1)
            if name in own
        ]
        return {"num_slices": len(rows), "num_subjects": len(shown), "subjects": shown}


class SplitConfig(Config):
    """How slices are kept from the training: named subjects, the last ones, or the last block.

    Args:
        fraction: Of the subjects that are held out, the last by name; of the slices where there is
            but one subject or somebody's is unknown.
        gap: Slices between training and held-out block that are in neither, since neighbours of
            one scan look alike; at most half of what is left. Subjects need no gap.
        heldout: Names of the subjects that are held out, in place of a fraction.
        training: Names of the subjects that are learnt from; all others by default.
        subject_names: Whether the model card says the names, such as PatientIDs, in place of
            numbers in their order.
    """

    fraction: float = Field(default=0.15, gt=0, lt=1)
    gap: NonNegativeInt = 16
    heldout: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    subject_names: bool = False

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        both = sorted(set(self.heldout) & set(self.training))
        if both:
            raise ValueError(f"heldout: {', '.join(both)} can't be learnt from as well")
        return self

    def split(self, slices: SliceSet) -> Split:
        """Return both parts.

        Raises:
            ValueError: Fewer than two slices, a named subject that isn't there, or nobody left to
                learn from.
        """
        if len(slices) < 2:
            raise ValueError(f"slices: expected two or more, got {len(slices)}")
        people = sorted(set(slices.subjects))
        if self.heldout or self.training:
            return self._named(slices, people)
        if "" not in people and len(people) > 1:
            kept = people[-self._count(len(people)) :]
            return self._by_subject(slices, set(people) - set(kept), set(kept))
        return self._block(slices)

    def _named(self, slices: SliceSet, people: list[str]) -> Split:
        if "" in people:
            raise ValueError("split: subjects are named, but of some slices nobody knows whose")
        missing = [name for name in (*self.heldout, *self.training) if name not in people]
        if missing:
            raise ValueError(
                f"split: no slices of {', '.join(missing)}; there are {', '.join(people[:20])}"
                + (f" and {len(people) - 20} others" if len(people) > 20 else "")
            )
        heldout = set(self.heldout or set(people) - set(self.training))
        training = set(self.training or set(people) - heldout)
        if not heldout or not training:
            raise ValueError("split: no subject is left to learn from or to hold out")
        return self._by_subject(slices, training, heldout)

    def _block(self, slices: SliceSet) -> Split:
        first = len(slices) - self._count(len(slices))
        end = first - min(self.gap, first // 2)
        return Split(slices, tuple(range(end)), tuple(range(first, len(slices))), False,
                     self.subject_names)  # fmt: skip

    def _count(self, total: int) -> int:
        return min(max(1, round(self.fraction * total)), total - 1)

    def _by_subject(self, slices: SliceSet, training: set[str], heldout: set[str]) -> Split:
        rows = [
            tuple(i for i, name in enumerate(slices.subjects) if name in names)
            for names in (training, heldout)
        ]
        return Split(slices, rows[0], rows[1], True, self.subject_names)
