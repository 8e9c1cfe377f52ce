"""Magnitudes of complex images with normal noise, such as of MRI."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from operators.noise.base import NoiseModel, require_positive, standard_normal


@dataclass(frozen=True)
class RicianNoise(NoiseModel):
    r"""Magnitude of a real A x in complex noise, :math:`y = |A x + \sigma (n_1 + i n_2)|`.

    n1 and n2 are standard normal (Rice 1944), and

    .. math:: p(y | m) = \frac{y}{\sigma^2} e^{-(y^2 + m^2) / 2 \sigma^2} I_0(y m / \sigma^2),
        \qquad m = |A x|

    The sign of A x is lost. :math:`E[y^2] = m^2 + 2 \sigma^2`: the background of a magnitude
    image has mean 1.25 sigma, and y is Gaussian about :math:`m + \sigma^2 / 2m` where m is large.

    Args:
        sigma: Standard deviation in the unit of y of the real and of the imaginary part each.

    Raises:
        ValueError: If sigma is not positive and finite.
    """

    sigma: float

    def __post_init__(self) -> None:
        require_positive("RicianNoise: sigma", self.sigma)

    @override
    def sample(self, clean: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw y; ``ValueError`` where clean is complex."""
        if clean.is_complex():
            raise ValueError(f"RicianNoise: expected a real tensor, got {clean.dtype}")
        draws = standard_normal((2, *clean.shape), clean.dtype, generator).to(clean.device)
        real, imaginary = self.sigma * draws
        return torch.hypot(clean + real, imaginary)

    @override
    def log_prob(self, y: Tensor, clean: Tensor) -> Tensor:
        """Return the log density of each entry; -inf for y = 0, which has probability zero."""
        magnitude = clean.abs()
        distance = (y - magnitude) / self.sigma
        # I0 e^{-z} stays finite where I0 has overflowed
        bessel = torch.special.i0e(y * magnitude / self.sigma**2).log()
        return y.log() - 2 * math.log(self.sigma) - distance**2 / 2 + bessel

    @override
    def quadratic(self, y: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the corrected magnitude (Gudbjartsson and Patz 1995) with the Gaussian precision.

        .. math:: t = \sqrt{\max(y^2 - \sigma^2, 0)}, \qquad w = 1 / \sigma^2

        w bounds the curvature of -log p from above. The bias E[t] - m is below 0.03 sigma from
        m = 1.5 sigma on (0.12 sigma at 1, 0.36 at 0.5 and 0.76 at 0, where y itself is off by
        1.25 sigma and by 0.27 sigma still at m = 2 sigma). t is not negative: nor should x be.
        """
        target = (y**2 - self.sigma**2).clamp(min=0).sqrt()
        return target, torch.tensor(self.sigma**-2, dtype=y.dtype, device=y.device)

    @override
    def check(self, y: Tensor) -> None:
        """Raise ``ValueError`` naming the first entry that is no magnitude."""
        if y.is_complex():
            raise ValueError(f"RicianNoise: magnitudes must be real, got {y.dtype}")
        super().check(y)
        self._refuse(y, y < 0, "is negative")
