r"""The divergence of a mixture from samples, by the moments of the samples in each mode.

Where modes are far apart, :math:`KL(\sum p_k N_k \| \sum q_k \hat N_k)
\approx \sum p_k [\ln(p_k / q_k) + KL(N_k \| \hat N_k)]`. What is not normal within a mode is not
seen. In many dimensions the plain estimate of the divergence of a normal law from n samples is too
high by about :math:`d^2 / 4n`; what is returned has the exact means of the Wishart law taken out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors.gaussian import GaussianMixturePrior

__all__ = ["mixture_kl", "normal_kl"]

# of the jackknife
_BLOCKS = 10


def normal_kl(mean: Tensor, covariance: Tensor, samples: Tensor) -> Tensor:
    r"""Estimate :math:`KL(N(m, C) \| N(\mu, \Sigma))` from samples of the second, without bias.

    Args:
        mean: m, ``(dim,)``.
        covariance: C.
        samples: ``(samples, dim)``.

    Raises:
        ValueError: Not more samples than dim + 2.
    """
    n, d = samples.shape
    if n <= d + 2:
        raise ValueError(f"normal_kl: expected more than {d + 2} samples in a mode, got {n}")
    spread = torch.linalg.cholesky(torch.cov(samples.mT))
    offset = torch.linalg.solve_triangular(
        spread, (samples.mean(0) - mean).unsqueeze(1), upper=False
    )
    root = torch.linalg.cholesky(covariance)
    relative = torch.linalg.solve_triangular(spread, root, upper=False)
    # the mean of S^-1 is (n - 1) / (n - d - 2) Sigma^-1, that of ln det S a sum of digammas
    shrink = (n - d - 2) / (n - 1)
    halves = (n - torch.arange(1, d + 1, dtype=samples.dtype)) / 2
    of_log = (torch.digamma(halves) - torch.tensor((n - 1) / 2).log()).sum()
    log_det = 2 * (torch.diagonal(spread).log().sum() - torch.diagonal(root).log().sum()) - of_log
    squares = shrink * ((relative**2).sum() + (offset**2).sum()) - d / n
    return (squares - d + log_det) / 2


def mixture_kl(target: GaussianMixturePrior, samples: Tensor) -> Tensor:
    """Estimate the divergence of a mixture from the law of samples, mode by mode.

    Args:
        target: A mixture of modes far apart; samples belong to the likeliest one.
        samples: ``(samples, dim)``.

    Returns:
        Pseudovalues of a jackknife, ``(10,)``: like ten independent estimates. Samplers that are
        compared on the same noise have errors in common, which differences of them don't have.

    Raises:
        ValueError: A mode with too few samples.
    """
    labels = target.responsibilities(samples).argmax(-1)
    blocks = torch.arange(len(samples)) % _BLOCKS
    value = _kl(target, samples, labels)
    without = torch.stack(
        [_kl(target, samples[blocks != i], labels[blocks != i]) for i in range(_BLOCKS)]
    )
    return _BLOCKS * value - (_BLOCKS - 1) * without


def _kl(target: GaussianMixturePrior, samples: Tensor, labels: Tensor) -> Tensor:
    parts = []
    for k, weight in enumerate(target.weights):
        inside = samples[labels == k]
        kl = normal_kl(target.means[k].flatten(), target.covariances[k], inside)
        share = samples.new_tensor(len(inside) / len(samples))
        parts.append(weight * ((weight / share).log() + kl))
    return torch.stack(parts).sum()
