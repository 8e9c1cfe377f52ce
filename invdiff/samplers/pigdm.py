"""Pseudo-inverse guidance: a Gaussian of known width about the denoised image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right, inner
from invdiff.samplers.guided import GuidedSampler, Pull, Scale, Vjp

__all__ = ["PiGDM", "isotropic_pull"]


@dataclass(frozen=True)
class PiGDM(GuidedSampler):
    r"""Pseudo-inverse guidance :cite:p:`song2023`: x0 is Gaussian about the denoised image.

    .. math:: g = J^T A^T (r^2 A A^T + W^{-1})^{-1} (t - A D), \qquad
        r^2 = \frac{\sigma^2 v}{\sigma^2 + v}

    shifts the mean by :math:`\sigma^2 g`; v is the variance of the prior. The solution is closed
    form for an operator with a known SVD and noise of one level, and a few conjugate gradient
    steps otherwise.

    Targets the posterior with :math:`r^2 I` for the covariance of x0 given x: exact for a
    Gaussian prior of covariance v I. A v that is too large (the published one is half the data
    range squared) weakens the data at high noise.

    Args:
        num_steps: Network calls.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        eta: Share of fresh noise, from 0 (deterministic) to 1 (ancestral).
        order: 2 continues the denoised image linearly in log sigma, without more network calls.
        clip: Whether D is clamped to the data range; no gradient passes where it is.
        chunk_size: Samples whose graph is in memory at once; None: all.
        prior_std: Square root of v, in half data ranges.
        num_cg: Conjugate gradient steps where there is no closed form.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 100
    order: Literal[1, 2] = 2
    prior_std: float = 1.0
    num_cg: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.prior_std > 0 or self.num_cg < 1:
            raise ValueError(
                f"PiGDM: expected prior_std > 0 and num_cg >= 1, got {self.prior_std} and "
                f"{self.num_cg}"
            )

    def _pull(
        self, mean: Tensor, sigma: Tensor, likelihood: Likelihood, scale: Scale, vjp: Vjp
    ) -> Pull:
        return isotropic_pull(mean, sigma, likelihood, self.prior_std * scale.half, self.num_cg)


def isotropic_pull(
    mean: Tensor, sigma: Tensor, likelihood: Likelihood, prior_std: float, num_cg: int
) -> Pull:
    """Return what the data say about D if x0 given x has the covariance r^2 I of a prior v I.

    Args:
        mean: D, ``(*batch, *image)``.
        sigma: Noise level in units of the image, 0-dimensional or ``batch``.
        likelihood: The problems.
        prior_std: Square root of v, in units of the image.
        num_cg: Conjugate gradient steps where there is no closed form.
    """
    variance = sigma**2 * prior_std**2 / (sigma**2 + prior_std**2)
    near = likelihood.proximal(mean, variance, num_steps=num_cg, tolerance=0)
    # W (t - A z) = (r^2 A A^T + W^-1)^-1 (t - A D) at the proximal point z of D
    solved = likelihood.precision * likelihood.residual(near)
    r, num_dims = likelihood.residual(mean), len(likelihood.operator.out_shape)
    squared = inner(r, solved, num_dims).double()
    log_twist = -squared.reshape(mean.shape[: r.ndim - num_dims]) / 2
    wide = expand_right(variance, len(likelihood.image_shape))
    return Pull((near - mean) / wide, log_twist)
