"""Yes-or-no answers of which some are wrong, such as reported edges of a graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from operators.noise.base import NoiseModel


@dataclass(frozen=True)
class BinarySymmetricNoise(NoiseModel):
    r"""Binary symmetric channel: y in {0, 1} tells A x in {0, 1}, and is wrong with probability q.

    .. math:: P(y = 1 | x) = q + (1 - 2 q)\, A x

    Between 0 and 1 the clean value is the probability that the truth is 1; beyond them it counts
    as the nearer one.

    Args:
        flip_probability: q, in (0, 1/2).

    Raises:
        ValueError: A probability that isn't between 0 and 1/2.
    """

    flip_probability: float

    def __post_init__(self) -> None:
        if not 0 < self.flip_probability < 0.5:
            raise ValueError(
                "BinarySymmetricNoise: flip_probability must be between 0 and 1/2, got "
                f"{self.flip_probability}"
            )

    @override
    def sample(self, clean: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw y; ``ValueError`` where clean is complex or isn't in [0, 1]."""
        self._check_real(clean)
        self._refuse(clean, ~((clean >= 0) & (clean <= 1)), "is no probability")
        chance = (self.flip_probability + self._contrast * clean).to(generator.device)
        return torch.bernoulli(chance, generator=generator).to(clean.device)

    @override
    def log_prob(self, y: Tensor, clean: Tensor) -> Tensor:
        """Return the log mass of each entry; constant in clean outside of [0, 1]."""
        clean = clean.clamp(0, 1)
        # one minus the chance of the other answer would lose the digits of a small q
        agreement = torch.where(y > 0.5, clean, 1 - clean)
        return (self.flip_probability + self._contrast * agreement).log()

    @override
    def quadratic(self, y: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the surrogate with an unbiased score and the exact odds of 1 against 0.

        .. math:: t = \frac{y - q}{1 - 2 q}, \qquad w = 2\, (1 - 2 q) \log \frac{1 - q}{q}

        :math:`E[t] = A x`, and the log odds of A x = 1 against A x = 0 are those of the noise
        itself: with a prior whose A x is 0 or 1 the posterior is exact. Between them the two
        likelihoods differ, and so do their constants, which an evidence would need. One over the
        variance of t, which exceeds w, would count each answer too often: 2.0 times for q = 0.1.
        """
        odds = math.log1p(-self.flip_probability) - math.log(self.flip_probability)
        target = (y - self.flip_probability) / self._contrast
        precision = 2 * self._contrast * odds
        return target, torch.tensor(precision, dtype=y.dtype, device=y.device)

    @override
    def check(self, y: Tensor) -> None:
        """Raise ``ValueError`` naming the first entry that is neither 0 nor 1, or if complex."""
        self._check_real(y)
        self._refuse(y, (y != 0) & (y != 1), "is neither 0 nor 1")

    @property
    def _contrast(self) -> float:
        return 1 - 2 * self.flip_probability

    def _check_real(self, v: Tensor) -> None:
        if v.is_complex():
            raise ValueError(f"BinarySymmetricNoise: expected real values, got {v.dtype}")
