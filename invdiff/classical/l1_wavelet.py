"""Compressed sensing with wavelets, by sigpy."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["l1_wavelet"]


def l1_wavelet(
    kspace: Tensor, mask: Tensor, maps: Tensor, weight: float, *, num_steps: int = 100
) -> Tensor:
    r"""Minimise :math:`\tfrac12 \|y - M F S x\|^2 + \alpha \|\Psi x\|_1` :cite:p:`lustig2007`.

    Psi is the Daubechies-4 wavelet transform; ``sigpy.mri.app.L1WaveletRecon`` does the work.
    Needs the extra ``sigpy``.

    Args:
        kspace: Complex centred k-space (coils, height, width); read where the mask is True only.
        mask: Boolean (height, width).
        maps: Complex coil maps (coils, height, width).
        weight: alpha, in the units of the image.
        num_steps: Iterations.

    Returns:
        The complex image (height, width), on the CPU.

    Raises:
        ValueError: The weight is not positive.
        ImportError: sigpy is not installed.
    """
    if not weight > 0:
        raise ValueError(f"l1_wavelet: expected a positive weight, got {weight}")
    from sigpy.mri.app import L1WaveletRecon

    sensitivity = maps.abs().square().sum(0).max()
    app = L1WaveletRecon(
        (kspace * mask).cpu().numpy(),
        maps.cpu().numpy(),
        weight,
        # without them sigpy takes an entry that is exactly 0 for one that was not measured
        weights=mask.cpu().numpy().astype(np.float32),
        # without it sigpy estimates the step from numpy's global generator
        alpha=1 / float(sensitivity),
        max_iter=num_steps,
        show_pbar=False,
    )
    return torch.from_numpy(app.run())
