r"""Which of several priors an image is from, and why their outputs add up with these weights.

For x0 from a mixture :math:`\sum_k \pi_k p(x_0 | k)` the posterior mean under noise is that of
the parts, weighted by the probability of each part given the noisy image:

.. math:: E[x_0 | x] = \sum_k p(k | x, \sigma)\, E[x_0 | x, k],
    \qquad p(k | x, \sigma) \propto \pi_k\, p_\sigma(x | k)

This is exact :cite:p:`mcallister2025`. The score :math:`(D - x) / \sigma^2`, the velocity and the
noise are all affine in D with factors that depend on x and sigma alone. As the weights sum to 1,
they are combined with the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from invdiff.linalg import expand_right
from invdiff.priors.gaussian import GaussianMixturePrior, GaussianPrior

__all__ = ["MixtureRouter", "NoisyDensity", "Router", "combined", "mass_left_out",
           "mixture_components", "truncated"]  # fmt: skip


class Router(Protocol):
    """The probability of each expert, given a noisy image."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return log weights ``(*batch, K)`` for x ``(*batch, *image)``.

        They may be short of a constant of each image. Sigma is 0-dimensional or ``batch``.
        """
        ...


class NoisyDensity(Protocol):
    """A distribution whose density under noise is known."""

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return the log density of x0 + sigma n, shape ``batch``."""
        ...


class MixtureRouter:
    r"""The exact router of a mixture of known densities.

    .. math:: p(k | x, \sigma) = \frac{\pi_k\, p_\sigma(x | k)}{\sum_j \pi_j\, p_\sigma(x | j)}

    Args:
        shares: pi, ``(K,)``, positive; normalised to sum 1.
        densities: K distributions, such as ``GaussianPrior`` and ``GaussianMixturePrior``.

    Raises:
        ValueError: Another number of shares than of densities, or shares that are not positive.
    """

    def __init__(self, shares: Tensor, densities: Sequence[NoisyDensity]) -> None:
        if shares.shape != (len(densities),) or not (shares > 0).all():
            raise ValueError(
                f"MixtureRouter: expected {len(densities)} positive shares, got {shares.tolist()}"
            )
        self.shares, self.densities = shares / shares.sum(), tuple(densities)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return log p(k | x, sigma), ``(*batch, K)``, normalised."""
        densities = torch.stack([p.log_prob(x, sigma) for p in self.densities], dim=-1)
        # in logarithms: far from all parts every density underflows
        return (self.shares.log().to(densities) + densities).log_softmax(-1)


def mixture_components(mixture: GaussianMixturePrior) -> tuple[GaussianPrior, ...]:
    """Return the parts of a mixture as priors of their own, with the data range of the whole."""
    return tuple(
        GaussianPrior(mean, covariance, data_range=mixture.data_range)
        for mean, covariance in zip(mixture.means, mixture.covariances, strict=True)
    )


def combined(outputs: Tensor, log_weights: Tensor) -> Tensor:
    r"""Return :math:`\sum_k w_k\, o_k` for denoised images, scores, velocities or noise alike.

    Args:
        outputs: Of the experts, ``(K, *batch, *image)``.
        log_weights: ``(*batch, K)``, up to a constant of each image; -inf for a weight of 0.

    Raises:
        ValueError: Shapes that don't fit.
    """
    batch, count = log_weights.shape[:-1], log_weights.shape[-1]
    if outputs.shape[: 1 + len(batch)] != (count, *batch):
        raise ValueError(
            f"combined: log weights {tuple(log_weights.shape)} need outputs of shape "
            f"{(count, *batch)} and images, got {tuple(outputs.shape)}"
        )
    weights = log_weights.softmax(-1).movedim(-1, 0).to(outputs)
    return (expand_right(weights, outputs.ndim - weights.ndim) * outputs).sum(0)


def truncated(log_weights: Tensor, top: int) -> Tensor:
    """Return normalised log weights ``(*batch, K)`` of the largest ones, -inf for the others.

    Args:
        log_weights: ``(*batch, K)``.
        top: How many are kept, 1 to K; of equal ones only as many.
    """
    kept, where = log_weights.topk(top, dim=-1)
    lowest = torch.full_like(log_weights, -torch.inf)
    return lowest.scatter(-1, where, kept.log_softmax(-1))


def mass_left_out(log_weights: Tensor, top: int) -> Tensor:
    r"""Return the weight m that ``truncated`` takes away, shape ``batch``.

    With :math:`D = (1 - m) D_{top} + m D_{rest}`, both of them averages of experts,

    .. math:: |D_{top} - D| = m\, |D_{top} - D_{rest}| \le m \max_{j, k} |D_j - D_k|

    Args:
        log_weights: ``(*batch, K)``.
        top: How many are kept.
    """
    order = log_weights.softmax(-1).sort(-1, descending=True).values
    # the sum of the small ones, as 1 minus that of the large ones would cancel
    return order[..., top:].sum(-1)
