"""Kaiser-Bessel interpolation from an oversampled Cartesian k-space to any point of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import scipy.sparse as sp
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOSEST, TIGHTEST = 1e-1, 1e-13
# samples whose float64 weights exist at once, in the cache
_BLOCK = 2**10
_INT32_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class AxisKernel:
    r"""Kernel along one axis, in units of the oversampled grid.

    .. math:: \varphi(u) = I_0\!\left(\beta \sqrt{1 - (2u / w)^2}\right) / I_0(\beta), \quad
        \beta = \pi \sqrt{w^2 (1 - \tfrac{1}{2 \sigma})^2 - 0.8}

    :cite:p:`beatty2005`.

    Args:
        size: Pixels n of the image axis.
        grid_size: Even size G of the oversampled axis; sigma = G / n.
        width: w, the number of grid points that a sample takes part in.
    """

    size: int
    grid_size: int
    width: int

    @property
    def beta(self) -> float:
        """Shape parameter."""
        ratio = self.size / self.grid_size
        return math.pi * math.sqrt((self.width * (1 - ratio / 2)) ** 2 - 0.8)

    def __call__(self, u: Tensor) -> Tensor:
        """Return the kernel at distances u of at most w / 2, float64."""
        root = (1 - (2 * u / self.width) ** 2).clamp_min(0).sqrt()
        beta = torch.tensor(self.beta, dtype=torch.float64, device=u.device)
        # scaled Bessel functions, as I_0 itself overflows single precision
        scaled = torch.special.i0e(beta * root) / torch.special.i0e(beta)
        return scaled * torch.exp(beta * (root - 1))

    def transform(self, position: Tensor) -> Tensor:
        r"""Return the Fourier transform of the kernel at pixels off the origin.

        .. math:: \hat \varphi(x) = \frac{w}{I_0(\beta)} \frac{\sinh z}{z}, \quad
            z = \sqrt{\beta^2 - (\pi w x / G)^2}
        """
        z = (self.beta**2 - (math.pi * self.width * position / self.grid_size) ** 2).sqrt()
        beta = torch.tensor(self.beta, dtype=torch.float64, device=position.device)
        # sinh z / I_0(beta) without the overflow of either
        sinh = torch.exp(z - beta) * -torch.expm1(-2 * z) / 2
        return self.width * sinh / (z * torch.special.i0e(beta))


def design_kernels(
    image_shape: Sequence[int], tolerance: float, oversampling: float | None = None
) -> list[AxisKernel]:
    """Choose the grid and the kernel of every axis for a relative error below the tolerance.

    Args:
        image_shape: Pixels along each axis.
        tolerance: Relative error (root mean square over random images), in [1e-13, 0.1].
        oversampling: Least ratio of grid to image, in [1.2, 4]; None takes 1.25 above a tolerance
            of 1e-4, 1.5 down to 1e-7 and 2 below, the fastest that rounding allows: the smaller the
            ratio, the more the image is amplified towards its borders before it is transformed.

    Raises:
        ValueError: If a number is out of range.
    """
    if not TIGHTEST <= tolerance <= LOOSEST:
        raise ValueError(f"expected a tolerance in [{TIGHTEST}, {LOOSEST}], got {tolerance}")
    if oversampling is None:
        oversampling = 1.25 if tolerance > 0.9e-4 else 1.5 if tolerance > 0.9e-7 else 2.0
    if not 1.2 <= oversampling <= 4:
        raise ValueError(f"expected oversampling in [1.2, 4], got {oversampling}")
    decay = math.pi * math.sqrt(1 - 1 / oversampling)
    # the factor e^oversampling in front of the exponential was measured, for widths 3 to 16
    width = math.ceil((oversampling - math.log(tolerance)) / decay)
    return [AxisKernel(n, fast_even_size(oversampling * n), width) for n in image_shape]


def apodisation(kernels: Sequence[AxisKernel], device: torch.device) -> Tensor:
    """Return what the image is multiplied by to undo the kernel: 1 / transform, float64."""
    product = torch.ones((), dtype=torch.float64, device=device)
    for kernel in kernels:
        pixels = torch.arange(kernel.size, dtype=torch.float64, device=device) - kernel.size // 2
        product = product.unsqueeze(-1) / kernel.transform(pixels)
    return product


def interpolation_matrix(
    trajectory: Tensor, kernels: Sequence[AxisKernel], *, centred: bool
) -> sp.csr_matrix:
    """Return the weights of every grid point in every sample, (m, prod of the grid).

    Args:
        trajectory: (m, ndim) in cycles per pixel; its precision becomes the matrix's, although the
            weights are computed in float64.
        kernels: One for each axis.
        centred: Whether the grid is the plain FFT of an image with its origin at G // 2: then every
            second weight is negative, as that shift is the sign (-1)^l for an even G.
    """
    num_samples, reach = trajectory.shape[0], math.prod(kernel.width for kernel in kernels)
    num_points = math.prod(kernel.grid_size for kernel in kernels)
    # scipy and MKL both take 32-bit indices as long as they suffice
    small = max(num_points, num_samples * reach) < _INT32_LIMIT
    index_dtype = torch.int32 if small else torch.int64
    columns = torch.empty(num_samples, reach, dtype=index_dtype)
    values = torch.empty(num_samples, reach, dtype=trajectory.dtype)
    for points, column, value in zip(
        *(torch.split(t, _BLOCK) for t in (trajectory.cpu(), columns, values)), strict=True
    ):
        _fill(column, value, points.double(), kernels, centred)
    start = torch.arange(num_samples + 1, dtype=index_dtype) * reach
    parts = (values.flatten().numpy(), columns.flatten().numpy(), start.numpy())
    matrix = sp.csr_matrix(parts, shape=(num_samples, num_points))
    if any(kernel.width > kernel.grid_size for kernel in kernels):
        # around a tiny grid the kernel meets points twice
        matrix.sum_duplicates()
    matrix.sort_indices()
    return matrix


def _fill(
    column: Tensor, value: Tensor, points: Tensor, kernels: Sequence[AxisKernel], centred: bool
) -> None:
    """Write the grid points around some samples and their weights."""
    index = torch.zeros(len(points), 1, dtype=torch.int64)
    product = torch.ones(len(points), 1, dtype=torch.float64)
    for k, kernel in zip(points.unbind(-1), kernels, strict=True):
        position = (k * kernel.grid_size).unsqueeze(1)
        near = torch.ceil(position - kernel.width / 2) + torch.arange(kernel.width)
        weight = kernel(near - position)
        line = near.long()
        if centred:
            weight = weight * (1 - 2 * (line % 2))
        line = line % kernel.grid_size
        index = (index.unsqueeze(2) * kernel.grid_size + line.unsqueeze(1)).flatten(1)
        product = (product.unsqueeze(2) * weight.unsqueeze(1)).flatten(1)
    column.copy_(index)
    value.copy_(product)


def fast_even_size(least: float) -> int:
    """Return the next even size without a prime factor above 5."""
    size = max(2, math.ceil(least - 1e-9))
    while size % 2 or not _is_smooth(size):
        size += 1
    return size


def _is_smooth(size: int) -> bool:
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    return size == 1
