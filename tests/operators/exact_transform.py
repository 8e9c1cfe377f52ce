"""The non-uniform transform by its definition, one row of the matrix for each sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def transform_matrix(points: Tensor, shape: tuple[int, ...]) -> Tensor:
    """exp(-2 pi i k_j . (p - c)) / sqrt(N) as (m, N)."""
    axes = [torch.arange(n, dtype=torch.float64) - n // 2 for n in shape]
    pixels = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    angles = -2 * math.pi * (points.reshape(-1, len(shape)).double() @ pixels)
    return torch.polar(torch.full_like(angles, math.prod(shape) ** -0.5), angles)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    difference = torch.linalg.vector_norm(actual - expected)
    return (difference / torch.linalg.vector_norm(expected)).item()
