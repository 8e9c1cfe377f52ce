"""What looks on while a network is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

__all__ = ["Tracker"]


class Tracker(Protocol):
    """What looks at a network after each step, and has a state of its own."""

    def update(self, step: int) -> None:
        """Look at the network after so many updates of it: 1, 2, ..."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """Return all that it needs to go on, by name."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is of another network or other settings.
        """
        ...
