"""Guidance by the covariance of the denoised image, from the Jacobian of the denoiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import conjugate_gradient, inner
from invdiff.samplers.guided import GuidedSampler, Pull, Scale, Vjp

__all__ = ["MomentMatching"]


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
        operator, root = likelihood.operator, likelihood.precision.sqrt()
        num_dims = len(operator.out_shape)
        r = root * likelihood.residual(mean)

        def spread(u: Tensor) -> Tensor:
            return sigma**2 * root * operator(vjp(operator.adjoint(root * u)))

        if self.covariance == "full":
            u = conjugate_gradient(
                lambda u: u + spread(u), r, num_dims=num_dims, num_steps=self.num_cg
            )
        else:
            # a sum of a row can be negative, a variance cannot
            u = r / (1 + spread(torch.ones_like(r)).real.clamp(min=0))
        squared = inner(r, u, num_dims).double()
        log_twist = -squared.reshape(mean.shape[: r.ndim - num_dims]) / 2
        return Pull(operator.adjoint(root * u), log_twist)
