"""What every noise model offers, and the draws they are made of."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
from torch import Tensor


class NoiseModel(abc.ABC):
    """Distribution of y given the clean measurement A x, independent over its entries."""

    @abc.abstractmethod
    def sample(self, clean: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw y for a clean measurement of any shape; drawn on the generator's device."""

    @abc.abstractmethod
    def log_prob(self, y: Tensor, clean: Tensor) -> Tensor:
        """Return the normalised log density of each entry, real, in the broadcast shape.

        The caller sums over the trailing axes of its operator. Differentiable in clean.
        """

    @abc.abstractmethod
    def quadratic(self, y: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return (target, precision) of the Gaussian surrogate of the likelihood in A x.

        .. math:: -\log p(y | x) \approx \tfrac12 \sum_i w_i \, |(A x)_i - t_i|^2 + \text{const}

        The precision is real and broadcasts against the target.
        """

    def check(self, y: Tensor) -> None:
        """Raise ``ValueError`` naming the first entry that cannot have been measured."""
        self._refuse(y, ~torch.isfinite(y), "is not finite")

    def _refuse(self, v: Tensor, bad: Tensor, reason: str) -> None:
        if bad.any():
            position = tuple(bad.nonzero()[0].tolist())
            raise ValueError(
                f"{type(self).__name__}: value {v[position].item()} at {position} {reason}"
            )


def require_positive(name: str, value: float) -> None:
    """Raise ``ValueError`` with the name if the value is not positive and finite."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")


def standard_normal(shape: Sequence[int], dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Draw standard normals; for a complex dtype real and imaginary part each."""
    parts = (*shape, 2) if dtype.is_complex else tuple(shape)
    draws = torch.randn(parts, generator=generator, dtype=dtype.to_real(), device=generator.device)
    return torch.view_as_complex(draws) if dtype.is_complex else draws


def poisson_draws(rate: Tensor, generator: torch.Generator) -> Tensor:
    """Draw counts of that rate on the generator's device, and move them back."""
    return torch.poisson(rate.to(generator.device), generator=generator).to(rate.device)
