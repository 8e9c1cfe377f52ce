"""Coil sensitivities: simulated, and estimated from the centre of k-space."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators.fourier import ifft

if TYPE_CHECKING:
    from collections.abc import Sequence

# radius of the ring of coils; the corners of the image are at sqrt(2)
_RING_RADIUS = 1.5


def birdcage_maps(shape: Sequence[int], num_coils: int) -> Tensor:
    r"""Return smooth maps of straight conductors on a ring about the image.

    .. math:: s_c(z) \propto \frac{z_c}{z_c - z}, \qquad z_c = \tfrac32 e^{2 \pi i c / C}

    the transverse field of a long current at z_c (Biot and Savart), z in half fields of view. In a
    volume the conductors run along its front half (even c) or back half (odd c), at depths t from
    a to b, which multiplies the field by :math:`\sin\theta_b - \sin\theta_a` with
    :math:`\sin\theta_b = (b - t) / \sqrt{|z_c - z|^2 + (b - t)^2}`.

    Args:
        shape: (height, width) or (depth, height, width).
        num_coils: C, at least 1.

    Returns:
        complex64 maps ``(num_coils, *shape)`` with root sum of squares 1 in every pixel.

    Raises:
        ValueError: If the shape is not 2D or 3D and positive or num_coils is less than 1.
    """
    if len(shape) not in (2, 3) or min(shape) < 1 or num_coils < 1:
        raise ValueError(f"birdcage_maps: got shape {tuple(shape)} and {num_coils} coils")
    *depth, rows, columns = ((2 * torch.arange(n, dtype=torch.float64) + 1) / n - 1 for n in shape)
    position = torch.complex(*torch.meshgrid(columns, rows, indexing="xy"))
    angles = 2 * math.pi * torch.arange(num_coils, dtype=torch.float64) / num_coils
    ring = torch.polar(torch.full_like(angles, _RING_RADIUS), angles)[:, None, None]
    maps = ring / (ring - position)
    if depth:
        maps = maps.unsqueeze(1) * _finite_length(depth[0], (ring - position).abs())
    return _normalised(maps, dim=0).to(torch.complex64)


def calibration_region(mask: Tensor) -> tuple[slice, slice]:
    """Find the largest fully sampled block about the centre of k-space.

    Args:
        mask: Boolean (height, width) over centred k-space.

    Returns:
        Rows and columns of the block, which contains index size // 2 of both axes and reaches
        as far up as down, up to one row.

    Raises:
        ValueError: If the mask is not boolean and 2D, or the centre itself is not sampled.
    """
    if mask.dtype != torch.bool or mask.ndim != 2:
        raise ValueError(f"expected a boolean 2D mask, got {mask.dtype} {tuple(mask.shape)}")
    height, width = mask.shape
    row, column = height // 2, width // 2
    if not mask[row, column]:
        raise ValueError("the centre of k-space is not sampled: no calibration region")
    # sampled entries from the centre column outwards, that one counted on both sides
    left = mask[:, : column + 1].flip(1).int().cumprod(1).sum(1).tolist()
    right = mask[:, column:].int().cumprod(1).sum(1).tolist()
    best, best_area = (slice(row, row + 1), slice(column, column + 1)), 0
    for up in range(row + 1):
        for down in (max(up - 1, 0), min(up, height - 1 - row)):
            rows = slice(row - up, row + down + 1)
            before, after = min(left[rows]), min(right[rows])
            area = (up + down + 1) * (before + after - 1)
            if before > 0 and area > best_area:
                columns = slice(column + 1 - before, column + after)
                best, best_area = (rows, columns), area
    return best


def estimate_maps(kspace: Tensor, region: tuple[slice, slice]) -> Tensor:
    r"""Estimate coil maps from low-resolution images of the fully sampled centre.

    .. math:: s_c = \frac{F^H (h \odot k_c)}{\sqrt{\sum_{c'} |F^H (h \odot k_{c'})|^2}}

    (McKenzie et al. 2002), h a Hann window over the block, cut to a square of its shorter side so
    that the maps are equally smooth in both directions. The smooth phase of the object stays in
    the maps: the image that goes with them is approximately real and non-negative. Where the
    object is much darker than the noise the maps are noise as well, with root sum of squares 1.

    Args:
        kspace: Complex centred k-space ``(*batch, coils, height, width)``; only the block is read.
        region: Rows and columns of the block, as :func:`calibration_region` gives them.

    Returns:
        Maps in the shape and dtype of kspace; zero in a pixel where every coil is exactly zero.

    Raises:
        ValueError: If kspace is not complex, not finite in the block, or the block does not reach
            two entries beyond the centre on every side.
    """
    return _normalised(low_resolution(kspace, region))


def low_resolution(kspace: Tensor, region: tuple[slice, slice]) -> Tensor:
    """Return coil images of the block, cut to a square about the centre, in a Hann window.

    Args:
        kspace: Complex centred k-space ``(*batch, coils, height, width)``; only the block is read.
        region: Rows and columns of the block, as :func:`calibration_region` gives them.

    Raises:
        ValueError: As :func:`estimate_maps`.
    """
    if not kspace.is_complex() or kspace.ndim < 3:
        raise ValueError(
            f"expected complex (coils, height, width), got {kspace.dtype} {kspace.ndim}D"
        )
    sizes = tuple(kspace.shape[-2:])
    reach = min(
        min(n // 2 - part.start, part.stop - 1 - n // 2)
        for n, part in zip(sizes, region, strict=True)
    )
    if reach < 2:
        raise ValueError(f"calibration block {region} is too small or off the centre of {sizes}")
    rows, columns = (slice(n // 2 - reach, n // 2 + reach + 1) for n in sizes)
    block = kspace[..., rows, columns]
    if not block.isfinite().all():
        raise ValueError("the calibration block of k-space is not finite")
    # two more points, so that none of the measured ones gets the window's zero
    window = torch.hann_window(2 * reach + 3, periodic=False, dtype=block.real.dtype)[1:-1]
    window = window.to(block.device)
    low = torch.zeros_like(kspace)
    low[..., rows, columns] = block * (window.unsqueeze(1) * window)
    return ifft(low, (-2, -1))


def _finite_length(depth: Tensor, distance: Tensor) -> Tensor:
    """Return (coils, depth, height, width): the field of half a conductor over that of a whole."""
    starts = torch.arange(len(distance)) % 2 - 1
    start = starts.reshape(-1, 1, 1, 1) - depth.reshape(-1, 1, 1)
    distance = distance.unsqueeze(1)
    return (start + 1) / torch.hypot(distance, start + 1) - start / torch.hypot(distance, start)


def _normalised(maps: Tensor, dim: int = -3) -> Tensor:
    total = maps.abs().square().sum(dim=dim, keepdim=True).sqrt()
    return maps / total.clamp_min(torch.finfo(total.dtype).tiny)
