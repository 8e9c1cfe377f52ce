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
    row = shape[0] // 2 - along * math.sin(angle)
    column = shape[1] // 2 + along * math.cos(angle)
    return _drawn("motion_psf", row, column, shape)


def random_motion_psf(
    length: float,
    persistence: float,
    size: int | Sequence[int],
    *,
    generator: torch.Generator,
) -> Tensor:
    r"""Spread a point evenly along a random smooth path, such as of an unsteady hand.

    The path has constant speed and a heading in Brownian motion (the worm-like chain of Kratky
    and Porod 1949): a smooth curve of mean squared end-to-end distance

    .. math:: E[R^2] = 2 P L \left(1 - \tfrac{P}{L} (1 - e^{-L / P})\right)

    for length L and persistence P. Its first heading is uniform and its centroid is the centre.

    Args:
        length: Length L along the path in pixels; not negative (0 is a point).
        persistence: Length P over which the heading is kept, in pixels, positive; much longer
            than ``length`` gives a straight segment, much shorter a random walk.
        size: Shape (rows, columns) in pixels, large enough for a straight segment of that length
            in any direction; an int n is (n, n).
        generator: Source of the path.

    Raises:
        ValueError: If length is negative or persistence not positive, either is not finite, size
            is not 2D, or a segment of that length does not fit.
    """
    shape = _shape(size)
    fits = len(shape) == 2 and 0 <= length <= min(shape) - 2
    if not fits or not 0 < persistence < math.inf:
        raise ValueError(
            f"random_motion_psf: got length {length}, persistence {persistence}, size {size}; "
            "a segment of that length does not fit, or a value is out of range"
        )
    # 32 points a pixel as for a segment, and at least that many for each persistence length
    num_points = max(1, math.ceil(32 * length * max(1.0, 1 / persistence)))
    step = length / num_points
    draws = torch.randn(
        num_points, generator=generator, dtype=torch.float64, device=generator.device
    ).cpu()
    first = 2 * math.pi * torch.rand((), generator=generator, device=generator.device).item()
    # <cos(change of heading)> = exp(-s / P) for a heading of variance 2 s / P
    heading = first + (draws * math.sqrt(2 * step / persistence)).cumsum(0)
    row, column = ((f(heading) * step).cumsum(0) for f in (torch.sin, torch.cos))
    row, column = (p - p.mean() + n // 2 for p, n in zip((row, column), shape, strict=True))
    return _drawn("random_motion_psf", row, column, shape)


def defocus_psf(radius: float, size: int | Sequence[int]) -> Tensor:
    """Return the uniform disc of geometrical optics out of focus.

    A pixel gets the area of the disc within it: exact along columns, and the mean over 64 lines
    in each row (the error is below 1e-3 of a pixel's area).

    Args:
        radius: Radius of the disc in pixels, positive; less than 1/2 is a point.
        size: Shape (rows, columns) in pixels, large enough for the disc; an int n is (n, n).

    Raises:
        ValueError: If the radius is not positive and finite, size is not 2D, or the disc leaves it.
    """
    shape = _shape(size)
    if len(shape) != 2 or not 0 < radius < math.inf:
        raise ValueError(f"defocus_psf: got radius {radius} and size {size}")
    if any(n // 2 + 0.5 < radius or n - n // 2 - 0.5 < radius for n in shape):
        raise ValueError(f"defocus_psf: radius {radius} does not fit into size {shape}")
    rows, columns = (torch.arange(n, dtype=torch.float64) - n // 2 for n in shape)
    lines = rows.unsqueeze(1) + (torch.arange(64, dtype=torch.float64) + 0.5) / 64 - 0.5
    half_chord = (radius**2 - lines**2).clamp(min=0).sqrt().unsqueeze(-1)
    covered = torch.minimum(columns + 0.5, half_chord) - torch.maximum(columns - 0.5, -half_chord)
    psf = covered.clamp(min=0).mean(1)
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


def _drawn(name: str, row: Tensor, column: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Share the points of a path among their four nearest pixels by bilinear weights."""
    psf = torch.zeros(shape, dtype=torch.float64)
    for r, row_weight in _neighbours(row):
        for c, column_weight in _neighbours(column):
            weight = row_weight * column_weight
            inside = (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
            if weight[~inside].sum() > 0:
                raise ValueError(f"{name}: the path does not fit into size {shape}")
            psf.index_put_((r[inside], c[inside]), weight[inside], accumulate=True)
    return psf / psf.sum()


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
