"""Guidance by the covariance of the denoised image, from the Jacobian of the denoiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import conjugate_gradient, expand_right, inner
from invdiff.samplers.guided import GuidedSampler, Pull, Scale, Vjp
from invdiff.samplers.pigdm import isotropic_pull

__all__ = ["MomentMatching", "covariance_pull"]

# of products with the Jacobian, relative to the noise
_ROUNDING = 1e-3


@dataclass(frozen=True)
class MomentMatching(GuidedSampler):
    r"""Tweedie moment projected diffusion :cite:p:`boys2024`: guide by mean and covariance of x0.

    The covariance of x0 given x is :math:`\sigma^2 J`, J being the Jacobian of the denoiser,
    which is symmetric:

    .. math:: g = J A^T (\sigma^2 A J A^T + W^{-1})^{-1} (t - A D)

    shifts the mean by :math:`\sigma^2 g`, solved by conjugate gradients in the whitened data.
    Each of their steps costs a backward pass of the network, none a forward pass. The row sums
    ``covariance="row-sum"`` take :math:`\sigma^2 A J A^T 1` for the matrix as published: one
    backward pass, for operators that pick or average pixels.

    The Jacobian of a network need not be symmetric or positive, least at high noise, where
    :math:`\sigma^2` multiplies its errors. Where the conjugate gradients meet a direction of
    negative variance, that sample is guided at that level as by ``PiGDM``, with a prior of half
    the data range. This is what :cite:t:`peng2024` do above a fixed noise level.

    Targets the posterior with a Gaussian for x0 given x: exact, in the limit of many steps, for
    every Gaussian prior, and as long as the conjugate gradients converge. For other priors it
    neglects how J changes with x.

    Args:
        num_steps: Network calls.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        eta: Share of fresh noise, from 0 (deterministic) to 1 (ancestral).
        order: 2 continues the denoised image linearly in log sigma, without more network calls.
        clip: Whether D is clamped to the data range; no gradient passes where it is.
        chunk_size: Samples whose graph is in memory at once; None: all.
        covariance: The full matrix, or the diagonal of its row sums.
        num_cg: Conjugate gradient steps, a backward pass each.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 100
    order: Literal[1, 2] = 2
    covariance: Literal["full", "row-sum"] = "full"
    num_cg: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.covariance not in ("full", "row-sum") or self.num_cg < 1:
            raise ValueError(
                "MomentMatching: expected covariance full or row-sum and num_cg >= 1, got "
                f"{self.covariance!r} and {self.num_cg}"
            )

    def _pull(
        self, mean: Tensor, sigma: Tensor, likelihood: Likelihood, scale: Scale, vjp: Vjp
    ) -> Pull:
        return covariance_pull(
            mean, sigma, likelihood, vjp,
            prior_std=scale.half, num_cg=self.num_cg, covariance=self.covariance,
        )  # fmt: skip


def covariance_pull(
    mean: Tensor,
    sigma: Tensor,
    likelihood: Likelihood,
    vjp: Vjp,
    *,
    prior_std: float,
    num_cg: int,
    covariance: Literal["full", "row-sum"] = "full",
) -> Pull:
    r"""Return what the data say about D if x0 given x has the covariance :math:`\sigma^2 J`.

    Args:
        mean: D, ``(*batch, *image)``.
        sigma: Noise level in units of the image, 0-dimensional or ``batch``.
        likelihood: The problems.
        vjp: Product with the transpose of J, which is J itself.
        prior_std: Of the isotropic prior that stands in where J is no covariance.
        num_cg: Conjugate gradient steps.
        covariance: See ``MomentMatching``.
    """
    operator, root = likelihood.operator, likelihood.precision.sqrt()
    num_dims = len(operator.out_shape)
    r, variance = root * likelihood.residual(mean), expand_right(sigma**2, num_dims)

    def spread(u: Tensor) -> Tensor:
        return variance * root * operator(vjp(operator.adjoint(root * u)))

    if covariance == "full":
        u, sound = _solved(r, spread, num_dims, num_cg)
    else:
        # a sum of a row can be negative, a variance cannot
        u = r / (1 + spread(torch.ones_like(r)).real.clamp(min=0))
        sound = torch.ones_like(inner(r, u, num_dims), dtype=torch.bool)
    sound = sound.reshape(mean.shape[: r.ndim - num_dims])
    log_twist = -inner(r, u, num_dims).double().reshape(sound.shape) / 2
    other = isotropic_pull(mean, sigma, likelihood, prior_std, num_cg)
    vector = torch.where(
        expand_right(sound, len(likelihood.image_shape)),
        operator.adjoint(root * u),
        other.vector,
    )
    return Pull(vector, torch.where(sound, log_twist, other.log_twist))


def _solved(r: Tensor, spread: Vjp, num_dims: int, num_cg: int) -> tuple[Tensor, Tensor]:
    """Solve (1 + spread) u = r, and say where the spread looked like a covariance."""
    sound = torch.ones_like(inner(r, r, num_dims), dtype=torch.bool)

    def matrix(p: Tensor) -> Tensor:
        nonlocal sound
        q = spread(p)
        sound = sound & (inner(p, q, num_dims) >= -_ROUNDING * inner(p, p, num_dims))
        return p + q

    u = conjugate_gradient(matrix, r, num_dims=num_dims, num_steps=num_cg)
    # between 0 and 1, as the inverse of 1 + a covariance is
    share, whole = inner(r, u, num_dims), inner(r, r, num_dims)
    return u, sound & (share >= 0) & (share <= (1 + _ROUNDING) * whole)
