"""Discs: their pixels and their line integrals in closed form."""

from __future__ import annotations

import math

import numpy as np
import torch

from operators import FanGeometry, ImageGrid, ParallelGeometry

# sub-pixels along each edge for the area of a pixel inside a disc
SUPERSAMPLING = 16


def disc_image(grid: ImageGrid, radius: float, centre: tuple[float, float] = (0, 0)):
    """Share of every pixel that lies inside the disc, float64."""
    (rows, columns), (dy, dx) = grid.shape, grid.pixel_size
    n = SUPERSAMPLING
    fine = ImageGrid((rows * n, columns * n), (dy / n, dx / n))
    x, y = fine.coordinates()
    inside = (x - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2 < radius**2
    return torch.from_numpy(inside.reshape(rows, n, columns, n).mean((1, 3)))


def disc_sinogram(
    geometry: ParallelGeometry | FanGeometry, radius: float, centre: tuple[float, float] = (0, 0)
):
    """Chord lengths of the rays, from the textbook angles and not from ``geometry.rays``."""
    angle = np.array(geometry.angles)[:, None]
    position = geometry.detector_positions()[None, :]
    if isinstance(geometry, FanGeometry):
        # the ray to position p is the parallel ray of angle t - gamma, D sin(gamma) off the axis
        gamma = np.arctan2(position, geometry.source_to_detector)
        angle, position = angle - gamma, geometry.source_to_axis * np.sin(gamma)
    distance = position - centre[0] * np.cos(angle) - centre[1] * np.sin(angle)
    return torch.from_numpy(2 * np.sqrt(np.maximum(radius**2 - distance**2, 0)))


def mean_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Mean absolute error over the mean of the expected, non-negative values."""
    return float((actual - expected).abs().sum() / expected.sum())


def scans(grid: ImageGrid, num_views: int):
    """A parallel scan over pi and a fan scan over 2 pi."""
    reach = grid.diagonal
    return (
        ParallelGeometry.covering(grid, num_views),
        FanGeometry.covering(
            grid,
            num_views,
            2 * math.pi,
            source_to_axis=1.5 * reach,
            source_to_detector=2.5 * reach,
        ),
    )
