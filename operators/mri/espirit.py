"""Coil maps as eigenvectors: ESPIRiT, for any number of slices at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor

from operators.mri.coils import low_resolution

if TYPE_CHECKING:
    from collections.abc import Sequence

MapPhase = Literal["object", "first-coil"]


class EspiritMaps(NamedTuple):
    """Coil maps and how well one map explains each pixel.

    Args:
        maps: Complex ``(*batch, coils, height, width)``, root sum of squares 1 in the support, 0
            outside.
        eigenvalues: Real ``(*batch, height, width)`` in [0, 1]: near 1 in the object, less where
            there is noise alone or the object is folded onto itself. Not cropped.
    """

    maps: Tensor
    eigenvalues: Tensor


def espirit_maps(
    kspace: Tensor,
    region: tuple[slice, slice],
    *,
    kernel_size: int = 6,
    threshold: float = 0.02,
    crop: float = 0.95,
    phase: MapPhase = "object",
) -> EspiritMaps:
    r"""Estimate coil maps by ESPIRiT (Uecker et al. 2014).

    .. math:: W(q) \, s(q) = \lambda(q) \, s(q), \qquad
        \mathcal{W} = \frac{1}{k^2} \sum_r R_r^H V V^H R_r

    V spans the k-by-k patches of the block: the right singular vectors of the matrix of all
    patches. R_r takes the patch at r, so that the average over r is a convolution in k-space and a
    C-by-C matrix W(q) in every pixel, whose largest eigenvalue is 1 where s explains the signal.
    The phase of s(q) is free, and chosen in each pixel:

    - ``"object"``: the smooth phase of the object stays in the maps, as in
      :func:`~operators.mri.coils.estimate_maps`, so that the image that goes with them is
      approximately real and non-negative;
    - ``"first-coil"``: the first coil is real and non-negative, so that the image has the phase
      that the first coil sees.

    Args:
        kspace: Complex centred k-space ``(*batch, coils, height, width)``; only the block is read.
            A volume with whole readouts is a batch of slices once its readouts are transformed.
        region: Rows and columns of the block, as
            :func:`~operators.mri.coils.calibration_region` gives them; 24 of each are enough.
        kernel_size: k, at most the sides of the block.
        threshold: Smallest singular value of the patches taken as signal, relative to the largest,
            in (0, 1). Their squares are compared: complex64 is too coarse below 1e-3.
        crop: Eigenvalue up to which the maps are set to 0, in [0, 1); 0 keeps them everywhere.
        phase: See above.

    Raises:
        ValueError: As :func:`~operators.mri.coils.estimate_maps`, or if a number is out of range.
    """
    low = low_resolution(kspace, region)
    block = kspace[..., region[0], region[1]]
    check_settings(block, kernel_size, threshold, crop, phase)
    projector = _patch_projector(block, kernel_size, threshold)
    kernel = _averaged_kernel(projector, kspace.shape[-3], kernel_size)
    eigenvalues, vectors = torch.linalg.eigh(_pixel_matrices(kernel, kspace.shape[-2:]))
    largest = eigenvalues[..., -1]
    maps = with_phase(vectors[..., -1].movedim(-1, -3), low, phase)
    return EspiritMaps(maps * (largest > crop).unsqueeze(-3), largest)


def check_settings(
    block: Tensor, kernel_size: int, threshold: float, crop: float, phase: MapPhase
) -> None:
    """Raise ``ValueError`` for settings of ESPIRiT that are out of range, or a bad block."""
    if not block.isfinite().all():
        raise ValueError("the calibration block of k-space is not finite")
    if not 1 <= kernel_size <= min(block.shape[-2:]):
        raise ValueError(
            f"espirit: expected a kernel size from 1 to the sides of the block "
            f"{tuple(block.shape[-2:])}, got {kernel_size}"
        )
    if not (0 < threshold < 1 and 0 <= crop < 1):
        raise ValueError(
            f"espirit: expected threshold in (0, 1) and crop in [0, 1), got {threshold}, {crop}"
        )
    if phase not in ("object", "first-coil"):
        raise ValueError(f"espirit: expected phase object or first-coil, got {phase}")


def with_phase(maps: Tensor, low: Tensor, phase: MapPhase) -> Tensor:
    """Turn the maps in every pixel to the phase that :func:`espirit_maps` promises.

    Args:
        maps: Complex ``(*batch, coils, height, width)``.
        low: Low-resolution coil images in the same shape.
        phase: ``"object"`` or ``"first-coil"``.
    """
    if phase == "first-coil":
        return maps * maps.narrow(-3, 0, 1).conj().sgn()
    return maps * (maps.conj() * low).sum(-3, keepdim=True).sgn()


def _patch_projector(block: Tensor, kernel_size: int, threshold: float) -> Tensor:
    """Return V V^H, (*batch, C k k, C k k), over the patches of the block."""
    patches = block.unfold(-2, kernel_size, 1).unfold(-2, kernel_size, 1)
    # one row of patches after the other: all of them together are k^2 times the block
    rows = (row.movedim(-4, -3).flatten(-3) for row in patches.unbind(-4))
    gram = sum((row.mT @ row.conj() for row in rows), start=block.new_zeros(()))
    squares, basis = torch.linalg.eigh(gram)
    basis = basis * (squares > threshold**2 * squares[..., -1:]).unsqueeze(-2)
    return basis @ basis.mH


def _averaged_kernel(projector: Tensor, num_coils: int, size: int) -> Tensor:
    """Return the convolution W, (*batch, C, C, 2 k - 1, 2 k - 1), by its shift in k-space."""
    batch = projector.shape[:-2]
    kernel = projector.new_zeros(*batch, num_coils, num_coils, 2 * size - 1, 2 * size - 1)
    parts = projector.reshape(*batch, num_coils, size, size, num_coils, size, size)
    parts = parts.movedim(-3, -5)
    for row in range(size):
        for column in range(size):
            rows = slice(size - 1 - row, 2 * size - 1 - row)
            columns = slice(size - 1 - column, 2 * size - 1 - column)
            kernel[..., rows, columns] += parts[..., row, column]
    return kernel / size**2


def _pixel_matrices(kernel: Tensor, shape: Sequence[int]) -> Tensor:
    """Return W(q), (*batch, height, width, C, C): the transform of the kernel, by its definition.

    The kernel is so small that two products are faster than an FFT of every pair of coils.
    """
    reach = kernel.shape[-1] // 2
    shifts = torch.arange(-reach, reach + 1)
    turns = (torch.outer(torch.arange(n) - n // 2, shifts).double() / n for n in shape)
    rows, columns = (torch.polar(torch.ones_like(t), 2 * math.pi * t) for t in turns)
    pixels = rows.to(kernel) @ kernel @ columns.to(kernel).mT
    return pixels.movedim((-2, -1), (-4, -3)).contiguous()
