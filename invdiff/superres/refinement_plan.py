"""How boundaries are refined by gradients, and what that costs in network calls."""

from __future__ import annotations

import bisect
import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Refinement"]

# the price where weights have gradients too; frozen ones, as here, make it nearer to one
_BACKWARD_CALLS = 2


@dataclass(frozen=True)
class Refinement:
    """How a boundary is refined.

    Args:
        num_steps: Steps of Adam.
        learning_rate: Its first value, in units of x_T; half a cosine leads down to zero.
        batch_size: References per step, drawn without replacement; all if there are fewer.
        chunk_size: References whose graphs are held at once; gradients are added up.
        shell: ``"sphere"`` puts x_T back to the norm sqrt(n) of Gaussian noise after each step;
            ``"free"`` lets it go, for the mean squared error to about 0.
        checkpointed: Hold the input of each network call only and repeat the call in the
            backward pass :cite:p:`chen2016`: memory for one call, instead of ``num_calls``.
        validation_share: Part of the references kept apart to choose among the steps; 0: the
            last step is returned.
        validation_interval: Steps between two looks at them.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 100
    learning_rate: float = 0.1
    batch_size: int = 16
    chunk_size: int = 16
    shell: Literal["free", "sphere"] = "free"
    checkpointed: bool = False
    validation_share: float = 0.2
    validation_interval: int = 10

    def __post_init__(self) -> None:
        counts = (self.num_steps, self.batch_size, self.chunk_size, self.validation_interval)
        if (
            min(counts) < 1
            or not 0 < self.learning_rate < math.inf
            or not 0 <= self.validation_share < 1
        ):
            raise ValueError(f"Refinement: a number is out of its range in {self}")
        if self.shell not in ("free", "sphere"):
            raise ValueError(f"Refinement: expected shell free or sphere, got {self.shell!r}")

    def calls(self, num_pairs: int, num_calls: int) -> int:
        """Return the network calls it takes, the backward pass of a call as two.

        Args:
            num_pairs: References, those for validation among them.
            num_calls: Network calls of the ODE, for each image.
        """
        kept = self.num_validation(num_pairs)
        looks = len(self.validation_steps()) if kept else 0
        fixed = num_pairs - kept + kept * looks
        return num_calls * (fixed + self.num_steps * self._step_calls(num_pairs - kept))

    def steps_within(self, budget: int, num_pairs: int, num_calls: int) -> int:
        """Return how many steps a budget of calls allows, such as K R num_calls of a search.

        Args:
            budget: Network calls.
            num_pairs: References, those for validation among them.
            num_calls: Network calls of the ODE, for each image.

        Raises:
            ValueError: It allows none.
        """

        def spent(num_steps: int) -> int:
            return dataclasses.replace(self, num_steps=num_steps).calls(num_pairs, num_calls)

        # a step takes one call at least
        allowed = bisect.bisect_right(range(1, max(1, budget) + 1), budget, key=spent)
        if allowed == 0:
            raise ValueError(f"Refinement: {budget} calls are too few for one step")
        return allowed

    def num_validation(self, num_pairs: int) -> int:
        """Return how many references are kept apart, rounded down."""
        return math.floor(self.validation_share * num_pairs)

    def validation_steps(self) -> list[int]:
        """Return the numbers of steps after which the boundary is looked at, 0 and the last too."""
        return sorted({*range(0, self.num_steps, self.validation_interval), self.num_steps})

    def _step_calls(self, num_training: int) -> int:
        forward = 2 if self.checkpointed else 1
        return min(self.batch_size, num_training) * (forward + _BACKWARD_CALLS)
