"""Convolution with a point spread function, over periodic or mirrored borders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from operators._convolution import Border, centred_at_zero, check_psf, filtered
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
        check_psf("Blur", psf, in_shape)
        super().__init__(in_shape, in_shape)
        self._dims = tuple(range(-len(self.in_shape), 0))
        transfer = torch.fft.fftn(centred_at_zero(psf, self.in_shape), dim=self._dims)
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
        return filtered(x, matched(self._half_transfer, x), self.in_shape)

    def _adjoint(self, y: Tensor) -> Tensor:
        return filtered(y, matched(self._half_transfer, y).conj(), self.in_shape)

    def _normal(self, x: Tensor) -> Tensor:
        power = matched(self._half_transfer, x).abs() ** 2
        return filtered(x, power, self.in_shape)

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
        check_psf("ReflectiveBlur", psf, in_shape)
        super().__init__(in_shape, in_shape)
        self._border = Border.reflective(self.in_shape, psf.shape)
        kernel = centred_at_zero(psf, self._border.shape)
        self.register_buffer("_half_transfer", torch.fft.rfftn(kernel))

    def _forward(self, x: Tensor) -> Tensor:
        transfer = matched(self._half_transfer, x)
        return self._border.cropped(
            filtered(self._border.extended(x), transfer, self._border.shape)
        )

    def _adjoint(self, y: Tensor) -> Tensor:
        transfer = matched(self._half_transfer, y).conj()
        return self._border.folded(filtered(self._border.embedded(y), transfer, self._border.shape))


def _cas(spectrum: Tensor) -> Tensor:
    return spectrum.real - spectrum.imag
