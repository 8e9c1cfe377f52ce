"""Maximum mean discrepancy: how far two clouds of samples are apart in a kernel's eyes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.theory.cloud import Cloud, equal_points, weighted_points

__all__ = ["BlockMMD", "block_mmd2", "median_bandwidth", "mmd2"]

_MEDIAN_POINTS = 1000


class BlockMMD(NamedTuple):
    """The mean over blocks and its standard error; their ratio is normal under equality.

    Args:
        value: Squared discrepancy.
        standard_error: Of the value, from the scatter of the blocks.
    """

    value: float
    standard_error: float


def mmd2(x: Cloud, y: Cloud, *, bandwidth: float | None = None) -> float:
    r"""Return the unbiased squared discrepancy of a Gaussian kernel; negative values happen.

    .. math:: \frac{\sum_{i \ne j} w_i w_j k(x_i, x_j)}{1 - \sum_i w_i^2}
        + \frac{\sum_{i \ne j} v_i v_j k(y_i, y_j)}{1 - \sum_i v_i^2}
        - 2 \sum_{ij} w_i v_j k(x_i, y_j), \quad k(x, y) = e^{-|x - y|^2 / 2 h^2}

    See :cite:t:`gretton2012`. Time and memory grow with the square of the counts.

    Args:
        x: Samples, weights allowed.
        y: Samples of the same image shape.
        bandwidth: h in the units of the image; the median heuristic if not given.

    Raises:
        ValueError: Samples of other dimensions, or a bandwidth that is not positive.
    """
    (points_x, weights_x), (points_y, weights_y) = weighted_points(x), weighted_points(y)
    h = _checked(points_x, points_y, bandwidth)
    cross = weights_x @ _kernel(points_x, points_y, h) @ weights_y
    return float(_within(points_x, weights_x, h) + _within(points_y, weights_y, h) - 2 * cross)


def block_mmd2(
    x: Cloud, y: Cloud, *, block_size: int = 100, bandwidth: float | None = None
) -> BlockMMD:
    """Return the mean of ``mmd2`` over blocks of consecutive samples: time linear in the count.

    The B-test of :cite:t:`zaremba2013`; samples must be independent, those that fill no block
    are left out.

    Args:
        x: Samples of equal weight.
        y: Samples of the same image shape and of equal weight.
        block_size: Samples of each cloud in a block, at least 2; there must be 2 blocks.
        bandwidth: As for ``mmd2``, one for all blocks.

    Raises:
        ValueError: Other weights or dimensions, or too few samples for two blocks.
    """
    points_x, points_y = equal_points(x), equal_points(y)
    count = min(len(points_x), len(points_y)) // block_size
    if block_size < 2 or count < 2:
        raise ValueError(
            f"block_mmd2: {len(points_x)} and {len(points_y)} samples make no two blocks of "
            f"{block_size}"
        )
    h = _checked(points_x, points_y, bandwidth)
    pairs = zip(torch.split(points_x, block_size), torch.split(points_y, block_size), strict=False)
    blocks = [mmd2(a, b, bandwidth=h) for a, b in list(pairs)[:count]]
    values = torch.tensor(blocks, dtype=torch.float64)
    return BlockMMD(float(values.mean()), float(values.std()) / count**0.5)


def median_bandwidth(x: Tensor, y: Tensor) -> float:
    """Return the median distance within the pooled points ``(N, n)``, of at most 1000 of them.

    Raises:
        ValueError: Half of the points coincide.
    """
    pooled = torch.cat([x, y])
    stride = -(-len(pooled) // _MEDIAN_POINTS)
    median = float(torch.pdist(pooled[::stride]).median())
    if median == 0:
        raise ValueError("mmd2: the median distance of the samples is 0, give a bandwidth")
    return median


def _checked(x: Tensor, y: Tensor, bandwidth: float | None) -> float:
    if x.shape[1] != y.shape[1] or (bandwidth is not None and not bandwidth > 0):
        raise ValueError(
            f"mmd2: expected clouds in one space and a positive bandwidth, got {x.shape[1]} and "
            f"{y.shape[1]} dimensions, bandwidth {bandwidth}"
        )
    return median_bandwidth(x, y) if bandwidth is None else bandwidth


def _within(points: Tensor, weights: Tensor, bandwidth: float) -> Tensor:
    square = (weights**2).sum()
    # the diagonal of the kernel is 1
    return (weights @ _kernel(points, points, bandwidth) @ weights - square) / (1 - square)


def _kernel(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    # distances themselves, not expanded squares: nothing cancels, and the diagonal is exactly 1
    distance = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.exp(-(distance**2) / (2 * bandwidth**2))
