"""Smooth random fields: cubic B-splines over a coarse grid of independent normal numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["smooth_fields"]

# mean over a cell of the sum of squared B-splines: the variance of each of the two axes
_SPREAD = 151 / 315


def smooth_fields(
    batch_shape: tuple[int, ...],
    size: tuple[int, int],
    spacing: float,
    *,
    std: float = 1.0,
    bound: float = math.inf,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    r"""Return fields of cubic B-splines with normal coefficients :cite:p:`rueckert1999`.

    .. math:: s(x, y) = \sum_{ij} c_{ij}\, B_3(x / h - i)\, B_3(y / h - j)

    The fields have two continuous derivatives, are nowhere larger than the largest coefficient,
    and have the variance ``std`` squared on average over a cell of the grid.

    Args:
        batch_shape: How many.
        size: Rows and columns.
        spacing: h, in pixels, at least 1.
        std: Standard deviation of the field.
        bound: Coefficients beyond it are set to it.
        generator: The only source of randomness; the fields are on its device.
        dtype: Of the fields.

    Returns:
        ``(*batch_shape, rows, columns)``.
    """
    device = generator.device
    rows, columns = (_basis(length, spacing, device, dtype) for length in size)
    normal = torch.randn(
        *batch_shape, rows.shape[1], columns.shape[1],
        generator=generator, device=device, dtype=dtype,
    )  # fmt: skip
    coefficients = (std / _SPREAD * normal).clamp(-bound, bound)
    return rows @ coefficients @ columns.mT


def _basis(length: int, spacing: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the cubic B-splines about grid points at -h, 0, h, ... as columns."""
    place = torch.arange(length, device=device, dtype=dtype) / spacing
    centre = torch.arange(math.floor((length - 1) / spacing) + 4, device=device, dtype=dtype) - 1
    distance = (place[:, None] - centre).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)
