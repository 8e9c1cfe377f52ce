"""Convolution with a point spread function, over periodic or mirrored borders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from operators.base import LinearOperator, SVDOperator, matched

if TYPE_CHECKING:
    from collections.abc import Sequence


class Blur(SVDOperator):
    r"""Circular convolution with a PSF, diagonal in the Fourier basis.

    .. math:: (A x)_i = \sum_j h_j \, x_{(i - j + c) \bmod N}, \qquad c = \lfloor k / 2 \rfloor

    The coordinates of the SVD are real, one per pixel: V is the Hartley transform
    Re F - Im F, orthonormal and its own inverse (Bracewell 1983), and the singular values are the
    modulus of the transfer function.

    Args:
        psf: Real h with as many axes as ``in_shape``, no larger than it; centre at ``size // 2``.
        in_shape: Trailing shape of x and of y, in 1, 2, 3 or more axes.

    Raises:
        ValueError: If the PSF is not real and finite or does not fit.
    """

    _half_transfer: Tensor
    _phase: Tensor

    def __init__(self, psf: Tensor, in_shape: Sequence[int]) -> None:
        _check_psf("Blur", psf, in_shape)
        super().__init__(in_shape, in_shape)
        self._dims = tuple(range(-len(self.in_shape), 0))
        transfer = torch.fft.fftn(_centred_at_zero(psf, self.in_shape), dim=self._dims)
        # exact Hermitian symmetry: rounding would else turn the sign of tiny real entries
        transfer = (transfer + self._reversed(transfer).conj()) / 2
        modulus = transfer.abs()
        phase = torch.where(modulus > 0, transfer.sgn(), torch.ones_like(transfer))
        half = transfer[..., : self.in_shape[-1] // 2 + 1].contiguous()
        self.register_buffer("_half_transfer", half)
        self.register_buffer("_phase", phase)
        self.register_buffer("singular_values", modulus)

    @override
    def U(self, z: Tensor) -> Tensor:
        # the spectrum of the Hartley transform of z, without a transform
        spectrum = torch.complex(z + self._reversed(z), self._reversed(z) - z) / 2
        return self._inverse(matched(self._phase, z) * spectrum)

    @override
    def Uh(self, y: Tensor) -> Tensor:
        return _cas(matched(self._phase, y).conj() * self._spectrum(y))

    @override
    def V(self, z: Tensor) -> Tensor:
        return _cas(self._spectrum(z))

    @override
    def Vh(self, x: Tensor) -> Tensor:
        return _cas(self._spectrum(x))

    def _forward(self, x: Tensor) -> Tensor:
        return _filtered(x, matched(self._half_transfer, x), self.in_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return _filtered(y, matched(self._half_transfer, y).conj(), self.in_shape)

    def _normal(self, x: Tensor) -> Tensor:
        power = matched(self._half_transfer, x).abs() ** 2
        return _filtered(x, power, self.in_shape)

    def _spectrum(self, x: Tensor) -> Tensor:
        return torch.fft.fftn(x, dim=self._dims, norm="ortho")

    def _inverse(self, spectrum: Tensor) -> Tensor:
        return torch.fft.ifftn(spectrum, dim=self._dims, norm="ortho").real

    def _reversed(self, z: Tensor) -> Tensor:
        """Exchange frequencies k and -k."""
        return z.flip(self._dims).roll((1,) * len(self._dims), self._dims)


class ReflectiveBlur(LinearOperator):
    r"""Convolution with a PSF of an image mirrored at its borders (d c b a | a b c d | d c b a).

    The mirror lies between pixels, half a sample outside the last one; the adjoint folds what was
    mirrored back onto the image.

    Args:
        psf: Real h with as many axes as ``in_shape``, no larger than it; centre at ``size // 2``.
        in_shape: Trailing shape of x and of y, in 1, 2, 3 or more axes.

    Raises:
        ValueError: If the PSF is not real and finite or does not fit.
    """

    _half_transfer: Tensor

    def __init__(self, psf: Tensor, in_shape: Sequence[int]) -> None:
        _check_psf("ReflectiveBlur", psf, in_shape)
        super().__init__(in_shape, in_shape)
        sizes = tuple(psf.shape)
        # a true convolution reads size - 1 - centre pixels to the left and centre to the right
        self._pads = [(k - 1 - k // 2, k // 2) for k in sizes]
        self._padded = tuple(n + k - 1 for n, k in zip(self.in_shape, sizes, strict=True))
        kernel = _centred_at_zero(psf, self._padded)
        self.register_buffer("_half_transfer", torch.fft.rfftn(kernel))

    def _forward(self, x: Tensor) -> Tensor:
        for axis, pads in zip(self._axes(x), self._pads, strict=True):
            x = _mirrored(x, axis, *pads)
        x = _filtered(x, matched(self._half_transfer, x), self._padded)
        for axis, (left, _), size in zip(self._axes(x), self._pads, self.in_shape, strict=True):
            x = x.narrow(axis, left, size)
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        pads = [p for pair in reversed(self._pads) for p in pair]
        y = functional.pad(y, pads)
        y = _filtered(y, matched(self._half_transfer, y).conj(), self._padded)
        for axis, (left, right) in zip(self._axes(y), self._pads, strict=True):
            y = _folded(y, axis, left, right)
        return y

    def _axes(self, x: Tensor) -> range:
        return range(x.ndim - len(self.in_shape), x.ndim)


def _filtered(x: Tensor, half_transfer: Tensor, shape: tuple[int, ...]) -> Tensor:
    dims = tuple(range(-len(shape), 0))
    return torch.fft.irfftn(half_transfer * torch.fft.rfftn(x, dim=dims), s=shape, dim=dims)


def _cas(spectrum: Tensor) -> Tensor:
    return spectrum.real - spectrum.imag


def _mirrored(x: Tensor, axis: int, left: int, right: int) -> Tensor:
    size = x.shape[axis]
    before = x.narrow(axis, 0, left).flip(axis)
    after = x.narrow(axis, size - right, right).flip(axis)
    return torch.cat([before, x, after], dim=axis)


def _folded(y: Tensor, axis: int, left: int, right: int) -> Tensor:
    size = y.shape[axis] - left - right
    before, middle, after = torch.split(y, [left, size, right], dim=axis)
    padding = [0, 0] * (y.ndim - 1 - axis)
    middle = middle + functional.pad(before.flip(axis), [*padding, 0, size - left])
    return middle + functional.pad(after.flip(axis), [*padding, size - right, 0])


def _centred_at_zero(psf: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Pad the PSF to shape in float64 and move its centre to index 0."""
    pads = [p for n, k in zip(shape, psf.shape, strict=True) for p in (n - k, 0)]
    padded = functional.pad(psf.to(torch.float64), pads[::-1])
    return padded.roll([-(k // 2) for k in psf.shape], tuple(range(psf.ndim)))


def _check_psf(name: str, psf: Tensor, in_shape: Sequence[int]) -> None:
    if not psf.is_floating_point() or not psf.isfinite().all():
        raise ValueError(f"{name}: expected a finite real PSF, got {psf.dtype}")
    fits = psf.ndim == len(in_shape) and psf.numel() > 0
    if not fits or any(k > n for k, n in zip(psf.shape, in_shape, strict=True)):
        raise ValueError(f"{name}: PSF of shape {tuple(psf.shape)} against {tuple(in_shape)}")
