"""Denoisers whose images explain the measurement."""

from __future__ import annotations

from torch import Tensor

from invdiff.linalg import expand_right
from invdiff.superres.conditional import ConditionalDenoiser, calls_of
from operators.base import SVDOperator, matched

__all__ = ["ConsistentDenoiser"]


class ConsistentDenoiser:
    r"""A denoiser with its mean corrected by what the measurement y = A x0 + s e still says.

    .. math:: D'(x, \sigma, y) = D + r^2 A^T (r^2 A A^T + s^2)^{-1} (y - A D), \qquad
        r^2 = \frac{\sigma^2 d^2}{\sigma^2 + d^2}

    Without noise that is :math:`D + A^+ (y - A D)` :cite:p:`wang2023`: the part of D in the null
    space of A stays, the rest comes from y. With noise, r is the error left in D of images whose
    spread is d :cite:p:`song2023`: for a white Gaussian prior and a D that doesn't know y, D' is
    the exact mean given x and y. A D that has used y already then counts it twice, which
    s = 0 alone forgives.

    Args:
        denoiser: D.
        operator: A, real, with a known SVD.
        noise_std: s, at least 0.
        spread: d, in the units of the image; matters only where there is noise.

    Attributes:
        data_range: That of D.

    Raises:
        ValueError: A complex operator, a negative s, or a spread that isn't positive.
    """

    def __init__(
        self,
        denoiser: ConditionalDenoiser,
        operator: SVDOperator,
        noise_std: float = 0.0,
        *,
        spread: float = 1.0,
    ) -> None:
        if operator.in_complex or operator.out_complex:
            raise ValueError("ConsistentDenoiser: expected a real operator")
        if not (noise_std >= 0 and spread > 0):
            raise ValueError(
                "ConsistentDenoiser: expected noise_std >= 0 and spread > 0, got "
                f"{noise_std} and {spread}"
            )
        self.denoiser, self.operator = denoiser, operator
        self.noise_std, self.spread = noise_std, spread
        self.data_range = denoiser.data_range

    @property
    def calls_per_image(self) -> int:
        """Network calls of one evaluation, those of D."""
        return calls_of(self.denoiser)

    def __call__(self, x: Tensor, sigma: Tensor, y: Tensor) -> Tensor:
        """Return the mean for x ``(*batch, *image)``, sigma 0-dimensional or ``batch``."""
        mean = self.denoiser(x, sigma, y)
        residual = y - self.operator(mean)
        if self.noise_std == 0:
            return mean + self.operator.pinv(residual)
        values = matched(self.operator.singular_values, mean)
        squared = (sigma**2 * self.spread**2 / (sigma**2 + self.spread**2)).to(mean)
        error = expand_right(squared, values.ndim)
        gain = error * values / (error * values**2 + self.noise_std**2)
        return mean + self.operator.V(gain * self.operator.Uh(residual))

    def center(self, y: Tensor) -> Tensor:
        """Return the rough image of D."""
        return self.denoiser.center(y)
