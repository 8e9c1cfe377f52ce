"""Measured k-space as images to learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdiff.data import KSpace
from invdiff.likelihood import Likelihood
from invdiff.study.complex_image import smooth_phase
from invdiff.study.field import Centre, resized_field
from invdiff.study.kspace import coarse_image, without_oversampling
from operators import CartesianMRI, GaussianNoise, calibration_region, estimate_maps
from operators.fourier import ifft

__all__ = ["reconstructed"]


def reconstructed(kspace: KSpace, size: int, *, complex_valued: bool) -> NDArray[Any]:
    r"""Return images of k-space on the grid that a reconstruction of it would have.

    Oversampling is removed, k-space is cut to the size, and a smaller field is padded. Complex
    images minimise the misfit,

    .. math:: \arg\min_x \lVert M F S x - y \rVert^2 ,

    for maps S from the centre of k-space, and their smooth phase is turned to 0; magnitudes are
    the root sum of squares over the coils.

    Args:
        kspace: One or more slices.
        size: Rows and columns.
        complex_valued: Whether images keep their phase.

    Returns:
        ``(slices, size, size)``, complex64 or float32.

    Raises:
        ValueError: The centre of k-space isn't sampled.
    """
    kspace = resized_field(without_oversampling(kspace), (size, size))
    mask = torch.from_numpy(kspace.mask)
    data = torch.from_numpy(kspace.data)
    images = torch.stack([_complex_image(y, mask) if complex_valued else _magnitude(y)
                          for y in data])  # fmt: skip
    pad = Centre((size, size), tuple(mask.shape), complex_valued=complex_valued).adjoint
    values: NDArray[Any] = np.ascontiguousarray(pad(images).numpy())
    return values


def _complex_image(data: Tensor, mask: Tensor) -> Tensor:
    operator = CartesianMRI(mask, estimate_maps(data, calibration_region(mask)))
    # the noise level scales both sides of the normal equations
    image = coarse_image(Likelihood(operator, GaussianNoise(1.0), operator.sample(data)))
    return image * smooth_phase(image).conj()


def _magnitude(data: Tensor) -> Tensor:
    return torch.linalg.vector_norm(ifft(data, (-2, -1)), dim=0)
