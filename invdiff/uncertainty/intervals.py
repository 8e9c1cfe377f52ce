"""Intervals from weighted samples, and how often they hold the truth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invdiff.uncertainty._ensemble import Ensemble, magnitude, sorted_ensemble

__all__ = ["coverage", "coverage_curve", "credible_interval", "weighted_quantiles"]


def weighted_quantiles(samples: Ensemble, probabilities: Sequence[float]) -> Tensor:
    r"""Return quantiles per pixel, shape ``(len(probabilities), *problems, *image_shape)``.

    .. math:: Q(p) = n \int_{q - 1 / 2n}^{q + 1 / 2n} F^{-1}(u)\, du, \qquad
        q = \tfrac12 + \frac{n + 1}{n} \bigl(p - \tfrac12\bigr), \qquad n = 1 / \sum_i w_i^2

    F is the weighted distribution of the samples and the window stays inside of [0, 1]. Equal
    weights give the i-th of N ordered samples at p = i / (N + 1), and lines between them: a
    truth that is exchangeable with the samples falls below it with that probability. A sample
    without weight has no influence. Beyond 1 / (N + 1) it is the outermost sample.

    Args:
        samples: Of which complex ones are taken as magnitudes.
        probabilities: Each from 0 to 1.

    Raises:
        ValueError: A probability out of range.
    """
    if not all(0 <= p <= 1 for p in probabilities):
        raise ValueError(f"probabilities: expected numbers from 0 to 1, got {list(probabilities)}")
    values, weights = sorted_ensemble(samples)
    weights = weights.expand(values.shape[:1] + weights.shape[1:])
    above = weights.cumsum(0)
    below = above - weights
    effective = 1 / (weights**2).sum(0)
    half = 1 / (2 * effective)
    quantiles = []
    for p in probabilities:
        center = 0.5 + (effective + 1) / effective * (p - 0.5)
        # n = 1 leaves one window only; rounding may put its ends the wrong way round
        center = torch.minimum(torch.maximum(center, half), 1 - half)
        share = torch.minimum(above, center + half) - torch.maximum(below, center - half)
        share = share.clamp(min=0)
        quantiles.append((share / share.sum(0) * values).sum(0).to(values.dtype))
    return torch.stack(quantiles)


def credible_interval(samples: Ensemble, level: float) -> tuple[Tensor, Tensor]:
    """Return the central interval of each pixel, from (1 - level) / 2 to (1 + level) / 2.

    N samples can state at most (N - 1) / (N + 1): a higher level gives the range of the samples.

    Args:
        samples: Of which complex ones are taken as magnitudes.
        level: Probability that the interval claims to hold, between 0 and 1.

    Returns:
        Lower and upper end, each ``(*problems, *image_shape)``.

    Raises:
        ValueError: A level that isn't between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected a number between 0 and 1, got {level}")
    lower, upper = weighted_quantiles(samples, [(1 - level) / 2, (1 + level) / 2])
    return lower, upper


def coverage(
    lower: Tensor,
    upper: Tensor,
    truth: Tensor,
    mask: Tensor | None = None,
    *,
    dim: tuple[int, ...] = (-2, -1),
) -> Tensor:
    """Return the fraction of pixels whose interval, ends included, holds the truth.

    Args:
        lower: Shape ``(*problems, *image_shape)``.
        upper: The same shape.
        truth: A shape that broadcasts against it; of complex images the magnitude counts.
        mask: Pixels that count; all if None.
        dim: Axes of the image, over which the fraction is taken.

    Returns:
        Shape ``problems``; NaN where the mask is empty.
    """
    truth = magnitude(truth)
    inside = ((lower <= truth) & (truth <= upper)).double()
    if mask is None:
        return inside.mean(dim)
    counted = mask.to(inside).expand(inside.shape)
    return (inside * counted).sum(dim) / counted.sum(dim)


def coverage_curve(
    samples: Ensemble,
    truth: Tensor,
    levels: Sequence[float],
    mask: Tensor | None = None,
    *,
    dim: tuple[int, ...] = (-2, -1),
) -> Tensor:
    """Return the coverage of the credible interval of each level, ``(len(levels), *problems)``.

    Args:
        samples: See ``credible_interval``.
        truth: See ``coverage``.
        levels: Each between 0 and 1.
        mask: Pixels that count; all if None.
        dim: Axes of the image.

    Raises:
        ValueError: A level that isn't between 0 and 1.
    """
    return torch.stack(
        [coverage(*credible_interval(samples, level), truth, mask, dim=dim) for level in levels]
    )
