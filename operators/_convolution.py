"""Convolution by real FFTs, and what an image becomes beyond its borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Border:
    """How many mirrored pixels stand before and after each of the last axes; none is periodic.

    Args:
        in_shape: Shape of the image without them.
        pads: (before, after) for each axis.
    """

    in_shape: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]

    @classmethod
    def periodic(cls, in_shape: tuple[int, ...]) -> Border:
        """Return no border at all."""
        return cls(in_shape, ((0, 0),) * len(in_shape))

    @classmethod
    def reflective(cls, in_shape: tuple[int, ...], psf_shape: Sequence[int]) -> Border:
        """Return as many pixels as a PSF of that shape reads beyond the image."""
        # a true convolution reads size - 1 - centre pixels to the left and centre to the right
        return cls(in_shape, tuple((k - 1 - k // 2, k // 2) for k in psf_shape))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image with them."""
        return tuple(n + sum(pair) for n, pair in zip(self.in_shape, self.pads, strict=True))

    def extended(self, x: Tensor) -> Tensor:
        """Add the mirrored pixels."""
        for axis, left, right in self._sides(x):
            x = _mirrored(x, axis, left, right)
        return x

    def cropped(self, x: Tensor) -> Tensor:
        """Cut them off."""
        for axis, left, right in self._sides(x):
            x = x.narrow(axis, left, x.shape[axis] - left - right)
        return x

    def embedded(self, y: Tensor) -> Tensor:
        """Put zeros in their place: the adjoint of cropped."""
        return functional.pad(y, [p for pair in reversed(self.pads) for p in pair])

    def folded(self, y: Tensor) -> Tensor:
        """Add them back to the pixels that they mirror: the adjoint of extended."""
        for axis, left, right in self._sides(y):
            y = _folded(y, axis, left, right)
        return y

    def _sides(self, x: Tensor) -> list[tuple[int, int, int]]:
        first = x.ndim - len(self.in_shape)
        return [(first + a, *pair) for a, pair in enumerate(self.pads) if any(pair)]


def filtered(x: Tensor, half_transfer: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Multiply the spectrum of x, of that trailing shape, by half a Hermitian transfer function."""
    dims = tuple(range(-len(shape), 0))
    return torch.fft.irfftn(half_transfer * torch.fft.rfftn(x, dim=dims), s=shape, dim=dims)


def centred_at_zero(psf: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Pad the PSF to shape in float64 and move its centre to index 0."""
    pads = [p for n, k in zip(shape, psf.shape, strict=True) for p in (n - k, 0)]
    padded = functional.pad(psf.to(torch.float64), pads[::-1])
    return padded.roll([-(k // 2) for k in psf.shape], tuple(range(psf.ndim)))


def check_psf(name: str, psf: Tensor, in_shape: Sequence[int]) -> None:
    """Raise ``ValueError`` if the PSF is not real and finite or does not fit into in_shape."""
    if not psf.is_floating_point() or not psf.isfinite().all():
        raise ValueError(f"{name}: expected a finite real PSF, got {psf.dtype}")
    fits = psf.ndim == len(in_shape) and psf.numel() > 0
    if not fits or any(k > n for k, n in zip(psf.shape, in_shape, strict=True)):
        raise ValueError(f"{name}: PSF of shape {tuple(psf.shape)} against {tuple(in_shape)}")


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
