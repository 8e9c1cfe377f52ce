"""Additive normal noise of one level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from operators.noise.base import NoiseModel, require_positive, standard_normal


@dataclass(frozen=True)
class GaussianNoise(NoiseModel):
    """y = A x + sigma n with standard normal n.

    Args:
        sigma: Standard deviation in the unit of y; for complex y, of the real and of the
            imaginary part each.

    Raises:
        ValueError: If sigma is not positive and finite.
    """

    sigma: float

    def __post_init__(self) -> None:
        require_positive("GaussianNoise: sigma", self.sigma)

    @override
    def sample(self, clean: Tensor, *, generator: torch.Generator) -> Tensor:
        noise = standard_normal(clean.shape, clean.dtype, generator)
        return clean + self.sigma * noise.to(clean.device)

    @override
    def log_prob(self, y: Tensor, clean: Tensor) -> Tensor:
        residual = (y - clean) / self.sigma
        degrees, squared = 1, residual**2
        if residual.is_complex():  # two independent normals
            degrees, squared = 2, residual.real**2 + residual.imag**2
        return -squared / 2 - degrees * (math.log(self.sigma) + math.log(2 * math.pi) / 2)

    @override
    def quadratic(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return (y, 1 / sigma^2): exact."""
        return y, torch.tensor(self.sigma**-2, dtype=y.dtype.to_real(), device=y.device)
