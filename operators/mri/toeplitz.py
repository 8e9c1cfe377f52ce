"""The normal operator of a non-uniform transform as a convolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import matched
from operators.mri.checks import checked_maps, checked_trajectory
from operators.mri.gridding import CACHE_ENTRIES
from operators.mri.kaiser_bessel import fast_even_size
from operators.mri.nufft import NUFFT, SampledFourier

if TYPE_CHECKING:
    from collections.abc import Sequence


class ToeplitzNormal(SampledFourier):
    r"""A^H W A of non-Cartesian MRI by FFTs of twice the image size; no samples are needed.

    .. math:: (A^H W A x)_p = \sum_c \bar s_{c, p} \sum_q T_{p - q} \, s_{c, q} x_q, \quad
        T_d = \frac{1}{N} \sum_j w_j e^{2 \pi i k_j \cdot d}

    :cite:p:`fessler2005`. T comes from the adjoint NUFFT of the weights; its spectrum is real, so
    that the operator is self-adjoint to rounding. x and the result are complex ``(*image_shape)``.

    Args:
        trajectory: Real (..., ndim) in cycles per pixel; see :class:`operators.mri.nufft.NUFFT`.
        image_shape: Pixels along each axis.
        maps: Complex coil sensitivities ``(coils, *image_shape)``; None is a single uniform coil.
        weights: Real w, one for each point of the trajectory, such as density compensation; None
            is 1.
        tolerance: Relative error of T, in [1e-13, 0.1].

    Raises:
        ValueError: As :class:`operators.mri.noncartesian.NonCartesianMRI`, and if the weights are
            not real, finite and one for each point.
    """

    _spectrum: Tensor
    _maps: Tensor

    def __init__(
        self,
        trajectory: Tensor,
        image_shape: Sequence[int],
        maps: Tensor | None = None,
        weights: Tensor | None = None,
        *,
        tolerance: float = 1e-5,
    ) -> None:
        name = type(self).__name__
        points = checked_trajectory(name, trajectory, image_shape)
        maps = checked_maps(name, maps, image_shape, points)
        weights = torch.ones_like(points[:, 0]) if weights is None else weights
        if not weights.is_floating_point() or weights.numel() != points.shape[0]:
            raise ValueError(
                f"{name}: expected {points.shape[0]} real weights, "
                f"got {weights.dtype} {tuple(weights.shape)}"
            )
        if not weights.isfinite().all():
            raise ValueError(f"{name}: the weights are not finite")
        super().__init__(image_shape, image_shape)
        self._grid = tuple(fast_even_size(2 * n - 1) for n in self.in_shape)
        spectrum = self._point_spread_spectrum(points, weights.flatten(), tolerance)
        self.register_buffer("_spectrum", spectrum.to(points.dtype))
        inner = maps.movedim(0, -1).to(points.dtype.to_complex())
        self.register_buffer("_maps", inner.contiguous())

    def _point_spread_spectrum(self, points: Tensor, weights: Tensor, tolerance: float) -> Tensor:
        # every difference of two pixels, centred: -(n - 1) ... n - 1 along each axis
        differences = tuple(2 * n - 1 for n in self.in_shape)
        transform = NUFFT(points.double(), differences, tolerance=tolerance)
        spread = transform.adjoint(weights.to(torch.complex128))
        spread = spread * (math.sqrt(math.prod(differences)) / math.prod(self.in_shape))
        circulant = spread.new_zeros(self._grid)
        circulant[tuple(slice(0, n) for n in differences)] = spread
        dims = tuple(range(len(self._grid)))
        circulant = circulant.roll([1 - n for n in self.in_shape], dims)
        # T_{-d} is the conjugate of T_d but for rounding
        return torch.fft.fftn(circulant, dim=dims).real

    @override
    def _encode(self, x: Tensor) -> Tensor:
        result = torch.zeros_like(x)
        maps, spectrum = matched(self._maps, x), matched(self._spectrum, x)
        entries, coils = math.prod(self._grid), maps.shape[-1]
        columns = min(coils, max(1, CACHE_ENTRIES // entries))
        rows = max(1, CACHE_ENTRIES // (entries * columns))
        for images, sums in zip(*(torch.split(v, rows) for v in (x, result)), strict=True):
            for group in torch.split(maps, columns, dim=-1):
                sums += self._convolved(images, group, spectrum)
        return result

    @override
    def _decode(self, y: Tensor) -> Tensor:
        return self._encode(y)

    def _convolved(self, x: Tensor, maps: Tensor, spectrum: Tensor) -> Tensor:
        dims = tuple(range(1, x.ndim))
        grid = x.new_zeros(maps.shape[-1] * x.shape[0], *self._grid)
        window = (slice(None), *(slice(0, n) for n in self.in_shape))
        coils = maps.movedim(-1, 0).unsqueeze(1)
        grid[window] = (x * coils).flatten(0, 1)
        filtered = torch.fft.ifftn(torch.fft.fftn(grid, dim=dims) * spectrum, dim=dims)
        images = filtered[window].reshape(maps.shape[-1], *x.shape)
        return (images * coils.conj()).sum(0)
