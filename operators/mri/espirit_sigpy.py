"""Coil maps by sigpy's ESPIRiT, to compare with."""

from __future__ import annotations

import torch
from torch import Tensor

from operators.mri.coils import low_resolution
from operators.mri.espirit import EspiritMaps, MapPhase, check_settings, with_phase


def sigpy_espirit_maps(
    kspace: Tensor,
    region: tuple[slice, slice],
    *,
    kernel_size: int = 6,
    threshold: float = 0.02,
    crop: float = 0.95,
    phase: MapPhase = "object",
    num_steps: int = 100,
) -> EspiritMaps:
    """Estimate coil maps by ``sigpy.mri.app.EspiritCalib``, one slice after the other.

    The same as :func:`~operators.mri.espirit.espirit_maps` up to rounding where its power method
    has converged, and slower. sigpy reads a square: the largest about the centre that fits into
    the block. Needs the extra ``sigpy``.

    Args:
        kspace: Complex centred k-space ``(*batch, coils, height, width)``, on the CPU.
        region: Rows and columns of the block.
        kernel_size: Side of the patches.
        threshold: Smallest singular value taken as signal, relative to the largest.
        crop: Eigenvalue up to which the maps are set to 0.
        phase: As for :func:`~operators.mri.espirit.espirit_maps`.
        num_steps: Iterations of the power method for the largest eigenvalue.

    Raises:
        ValueError: As :func:`~operators.mri.espirit.espirit_maps`.
        ImportError: If sigpy is not installed.
    """
    from sigpy.mri.app import EspiritCalib

    low = low_resolution(kspace, region)
    check_settings(kspace[..., region[0], region[1]], kernel_size, threshold, crop, phase)
    width = min(
        2 * min(n // 2 - part.start, part.stop - n // 2)
        for n, part in zip(kspace.shape[-2:], region, strict=True)
    )
    results = [
        EspiritCalib(
            one.numpy(),
            calib_width=width,
            thresh=threshold,
            kernel_width=kernel_size,
            crop=crop,
            max_iter=num_steps,
            output_eigenvalue=True,
            show_pbar=False,
        ).run()
        for one in kspace.detach().reshape(-1, *kspace.shape[-3:])
    ]
    maps, eigenvalues = (
        torch.stack([torch.from_numpy(part) for part in parts])
        for parts in zip(*results, strict=True)
    )
    sizes = kspace.shape[:-3] + kspace.shape[-2:]
    maps = with_phase(maps.reshape(kspace.shape), low, phase)
    return EspiritMaps(maps, eigenvalues.reshape(sizes))
