"""Divergence of samples on the line from an exact law, by the gaps between them."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors import GaussianMixturePrior
from invdiff.theory.cloud import Cloud, equal_points
from invdiff.theory.marginals import cdf

__all__ = ["spacing_divergence"]


def spacing_divergence(samples: Cloud, exact: GaussianMixturePrior, width: int = 32) -> float:
    r"""Estimate KL(q || p) from independent samples of q on the line, p known, in nats.

    With :math:`u_{(1)} \le \dots \le u_{(n)}` the sorted values of the distribution function of
    p, uniform if q = p, :cite:t:`vasicek1976`,

    .. math:: \widehat{\mathrm{KL}} = \frac1n \sum_{i=1}^n \Bigl(\psi(k_i) - \psi(n + 1)
        - \log\bigl(u_{(\min(i + m, n))} - u_{(\max(i - m, 1))}\bigr)\Bigr)

    where k is the difference of both indices. The digamma functions are the mean of the logarithm
    for uniform values, so that samples of p itself give 0 on average, of whatever p, sometimes
    less. No bins: it goes on growing as q narrows. It is infinite for samples with ties, or so far
    out that their values of the distribution function are equal in float64.

    Args:
        samples: Of equal weight, at least 2 m + 1, independent and without ties.
        exact: p, of images of shape (1,).
        width: m; more has less noise, and blurs what is narrower than m samples.

    Raises:
        ValueError: Too few samples, weights, images of another shape, or a width below 1.
    """
    points = equal_points(samples)
    if points.shape[1:] != exact.image_shape:
        raise ValueError(
            f"spacing_divergence: expected samples (N, 1) of images of shape (1,), got "
            f"{tuple(points.shape)} and {exact.image_shape}"
        )
    u = cdf(exact, points.squeeze(-1)).sort().values
    count = len(u)
    if not 1 <= width < count / 2:
        raise ValueError(
            f"spacing_divergence: expected a width from 1 to half of {count} samples, got {width}"
        )
    index = torch.arange(count, device=u.device)
    high, low = (index + width).clamp(max=count - 1), (index - width).clamp(min=0)
    expected = _digamma(high - low) - _digamma(torch.tensor(count + 1, device=u.device))
    return float((expected - (u[high] - u[low]).log()).mean())


def _digamma(k: Tensor) -> Tensor:
    return torch.digamma(k.double())
