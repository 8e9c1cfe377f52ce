"""Point spread functions: float64, summing to 1, with the centre at index size // 2."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def gaussian_psf(sigma: float | Sequence[float], size: int | Sequence[int]) -> Tensor:
    """Sample a separable Gaussian at the pixel centres.

    Args:
        sigma: Standard deviation in pixels, one or one per axis; positive.
        size: Shape in pixels; an int n means (n, n).

    Raises:
        ValueError: If sigma or size is not positive, or their lengths differ.
    """
    shape = _shape(size)
    sigmas = tuple(sigma) if isinstance(sigma, Sequence) else (sigma,) * len(shape)
    if len(sigmas) != len(shape) or not all(0 < s < math.inf for s in sigmas):
        raise ValueError(f"gaussian_psf: expected {len(shape)} positive sigmas, got {sigma}")
    psf = torch.ones((), dtype=torch.float64)
    for s, n in zip(sigmas, shape, strict=True):
        offsets = torch.arange(n, dtype=torch.float64) - n // 2
        profile = torch.exp(-((offsets / s) ** 2) / 2)
        psf = psf.unsqueeze(-1) * (profile / profile.sum())
    return psf


def motion_psf(length: float, angle: float, size: int | Sequence[int]) -> Tensor:
    """Spread a point evenly along a straight segment through the centre.

    Every point of the segment is shared among its four nearest pixels by bilinear weights.

    Args:
        length: Length of the segment in pixels; not negative (0 is a point).
        angle: Direction in radians from the last axis towards decreasing rows.
        size: Shape (rows, columns) in pixels, large enough for the segment; an int n is (n, n).

    Raises:
        ValueError: If length is negative or not finite, size is not 2D, or the segment leaves it.
    """
    shape = _shape(size)
    if len(shape) != 2 or not 0 <= length < math.inf:
        raise ValueError(f"motion_psf: got length {length} and size {size}")
    # 32 midpoints a pixel: the error of the bilinear weights is then below 1e-3 of a pixel
    num_points = max(1, math.ceil(32 * length))
    along = ((torch.arange(num_points, dtype=torch.float64) + 0.5) / num_points - 0.5) * length
    psf = torch.zeros(shape, dtype=torch.float64)
    row = shape[0] // 2 - along * math.sin(angle)
    column = shape[1] // 2 + along * math.cos(angle)
    for r, row_weight in _neighbours(row):
        for c, column_weight in _neighbours(column):
            weight = row_weight * column_weight
            inside = (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
            if weight[~inside].sum() > 0:
                raise ValueError(f"motion_psf: length {length} does not fit into size {shape}")
            psf.index_put_((r[inside], c[inside]), weight[inside], accumulate=True)
    return psf / psf.sum()


def uniform_psf(size: int | Sequence[int]) -> Tensor:
    """Return the mean over a box.

    Args:
        size: Shape in pixels; an int n means (n, n).

    Raises:
        ValueError: If size is not positive.
    """
    shape = _shape(size)
    return torch.full(shape, 1 / math.prod(shape), dtype=torch.float64)


def _neighbours(position: Tensor) -> list[tuple[Tensor, Tensor]]:
    # cos(pi / 2) is 6e-17, not 0: a weight that small must not count as leaving the array
    position = (position * 2**40).round() / 2**40
    low = position.floor()
    return [(low.long(), 1 - (position - low)), (low.long() + 1, position - low)]


def _shape(size: int | Sequence[int]) -> tuple[int, ...]:
    shape = tuple(size) if isinstance(size, Sequence) else (size, size)
    if not shape or any(n < 1 for n in shape):
        raise ValueError(f"PSF size must be positive, got {size}")
    return shape
