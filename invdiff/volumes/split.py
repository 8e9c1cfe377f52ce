"""Who holds which slices of a volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

__all__ = ["Split", "Whole"]


class Split(Protocol):
    """A run of consecutive slices, and what it needs to know of the others.

    Volumes have shape ``(*batch, count, rows, columns)``.
    """

    @property
    def first(self) -> int:
        """Number of the first slice that is held here."""
        ...

    @property
    def count(self) -> int:
        """Slices held here."""
        ...

    @property
    def total(self) -> int:
        """Slices of the whole volume."""
        ...

    def all_sum(self, v: Tensor) -> Tensor:
        """Return the sum of a tensor of partial sums over all parts."""
        ...

    def after(self, x: Tensor) -> Tensor | None:
        """Return the slice behind the last one held here, ``(*batch, 1, rows, columns)``.

        None at the end of the volume.
        """
        ...

    def before(self, x: Tensor) -> Tensor | None:
        """Return the slice ahead of the first one held here; None at the start of the volume."""
        ...

    def gather(self, x: Tensor) -> Tensor:
        """Return the whole volume, ``(*batch, total, rows, columns)``, in every place."""
        ...

    def collect(self, x: Tensor) -> Tensor | None:
        """Return the whole volume in the main place, None in the others."""
        ...

    @property
    def is_main(self) -> bool:
        """Whether this is the one place that prints and writes."""
        ...


@dataclass(frozen=True)
class Whole:
    """All slices in one place.

    Args:
        total: Slices of the volume.
    """

    total: int
    first: int = 0

    @property
    def count(self) -> int:
        """Slices held here, all of them."""
        return self.total

    def all_sum(self, v: Tensor) -> Tensor:
        """Return v."""
        return v

    def after(self, x: Tensor) -> None:
        """Return None: there are no other slices."""

    def before(self, x: Tensor) -> None:
        """Return None: there are no other slices."""

    def gather(self, x: Tensor) -> Tensor:
        """Return x, which is the whole volume."""
        return x

    def collect(self, x: Tensor) -> Tensor:
        """Return x, which is the whole volume."""
        return x

    @property
    def is_main(self) -> bool:
        """Whether this is the one place that prints and writes; it is."""
        return True
