"""How good a distribution of images is, given the one image that was true."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.uncertainty._ensemble import Ensemble, magnitude, moments, sorted_ensemble

__all__ = ["crps", "spread_error_correlation", "z_scores"]


def z_scores(samples: Ensemble, truth: Tensor) -> Tensor:
    r"""Return :math:`(x^* - \bar x) / s` per pixel, ``(*problems, *image_shape)``.

    Its variance is 1 + 1/N for a truth that is drawn as N Gaussian samples were, and a little
    more as s scatters. 0 where the samples agree with the truth and each other, infinite where
    they agree with each other alone.

    Args:
        samples: Of which complex ones are taken as magnitudes.
        truth: A shape that broadcasts against an image per problem.
    """
    mean, std = moments(samples)
    error = magnitude(truth) - mean
    return torch.where(error == 0, 0, error / std)


def crps(
    values: Tensor, truth: Tensor, log_weights: Tensor | None = None, *, fair: bool = False
) -> Tensor:
    r"""Return the continuous ranked probability score per pixel; smaller is better.

    .. math:: \sum_i w_i |x_i - x^*| - \frac{1}{2 c} \sum_{ij} w_i w_j |x_i - x_j|
        = \int \bigl(F(u) - 1[u \geq x^*]\bigr)^2 du \quad (c = 1)

    Args:
        values: Shape ``(num_samples, *problems, *image_shape)``; of complex ones the magnitudes.
        truth: A shape that broadcasts against an image per problem.
        log_weights: Shape ``(num_samples, *problems)``; equal ones if None.
        fair: c = 1 - sum w^2, with equal weights that of :cite:t:`ferro2014`: it expects for N
            samples what infinitely many would score, so that ensembles of other sizes compare.

    Returns:
        Shape ``(*problems, *image_shape)``, in the units of the images; float64.

    Raises:
        ValueError: A fair score of a single sample.
    """
    if fair and values.shape[0] < 2:
        raise ValueError(f"crps: expected at least 2 samples for fair=True, got {values.shape[0]}")
    ordered, weights = sorted_ensemble(values if log_weights is None else (values, log_weights))
    weights = weights.expand(ordered.shape[:1] + weights.shape[1:])
    ordered = ordered.double()
    error = (weights * (ordered - magnitude(truth)).abs()).sum(0)
    # sorted, half of the double sum is one over the gaps, and no term of it cancels
    below = weights.cumsum(0)[:-1]
    spread = (ordered.diff(dim=0) * below * (1 - below)).sum(0)
    return error - spread / (1 - (weights**2).sum(0)) if fair else error - spread


def spread_error_correlation(samples: Ensemble, truth: Tensor, mask: Tensor | None = None) -> float:
    """Return Spearman's correlation of standard deviation and absolute error over all pixels.

    Args:
        samples: Of which complex ones are taken as magnitudes.
        truth: The shape of an image per problem.
        mask: Pixels that count, a shape that broadcasts against the truth; all if None.

    Raises:
        ValueError: All deviations or all errors are the same.
    """
    from scipy.stats import spearmanr

    mean, std = moments(samples)
    error = (magnitude(truth) - mean).abs()
    counted = torch.ones_like(std, dtype=torch.bool) if mask is None else mask.expand(std.shape)
    pairs = std[counted].cpu(), error[counted].cpu()
    if any(entry.numel() < 2 or bool((entry == entry[0]).all()) for entry in pairs):
        raise ValueError("samples: expected deviations and errors that differ between pixels")
    return float(spearmanr(pairs[0].numpy(), pairs[1].numpy()).statistic)
