"""Multi-coil and single-coil Cartesian MRI."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import LinearOperator, SVDOperator, matched
from operators.fourier import centring_ramp

# entries of coil images that are transformed at once: larger ones leave the processor's cache
_GROUP = 2**21


class CartesianMRI(LinearOperator):
    r"""Sampled k-space of every coil, with centred orthonormal transforms.

    .. math:: y_c = M F (s_c \odot x)

    x is a complex image (height, width); y has shape (coils, m) and holds the m sampled entries
    alone, in row-major order. Both shifts of the centred transform live in the maps (the ramps of
    :func:`operators.fourier.centring_ramp`) and in one roll of x, so that no k-space is touched.

    Where whole lines are sampled, the readout is transformed for the sampled lines only, and
    A^H A needs no readout transform at all, as it cancels:
    :math:`A^H A = S^H F_p^H M F_p S` along the phase-encoding axis p.

    Args:
        mask: Boolean (height, width) over centred k-space, True where sampled.
        maps: Complex coil sensitivities (coils, height, width); None is a single uniform coil.

    Raises:
        ValueError: If the mask is not boolean and 2D or samples nothing, or the maps are not
            complex, finite and of the mask's shape.
    """

    in_complex = out_complex = True
    mask: Tensor
    _encoding: Tensor
    _entries: Tensor
    _lines: Tensor
    _weights: Tensor

    def __init__(self, mask: Tensor, maps: Tensor | None = None) -> None:
        name = type(self).__name__
        if mask.dtype != torch.bool or mask.ndim != 2 or not mask.any():
            raise ValueError(
                f"{name}: expected a boolean mask (height, width) with a sampled entry, "
                f"got {mask.dtype} {tuple(mask.shape)}"
            )
        if maps is None:
            maps = torch.ones(1, *mask.shape, dtype=torch.complex128, device=mask.device)
        if not maps.is_complex() or maps.ndim != 3 or maps.shape[1:] != mask.shape:
            raise ValueError(
                f"{name}: expected complex maps (coils, {', '.join(map(str, mask.shape))}), "
                f"got {maps.dtype} {tuple(maps.shape)}"
            )
        if maps.numel() == 0 or not maps.isfinite().all():
            raise ValueError(f"{name}: the maps are empty or not finite")
        super().__init__(mask.shape, (maps.shape[0], int(mask.sum())))
        axis = _line_axis(mask)
        self._lines_only, self._transposed = axis is not None, axis == -2
        weights = mask
        if axis is not None:
            weights = mask.any(dim=-3 - axis).unsqueeze(0)
            self.register_buffer("_lines", weights.flatten().nonzero().squeeze(1))
        self.register_buffer("mask", mask.clone())
        self.register_buffer("_entries", mask.flatten().nonzero().squeeze(1))
        self.register_buffer("_weights", weights.clone())
        encoding = _encoding(maps)
        encoding = encoding.mT.contiguous() if self._transposed else encoding
        self.register_buffer("_encoding", encoding)

    def sample(self, kspace: Tensor) -> Tensor:
        """Gather the sampled entries of centred k-space.

        Args:
            kspace: Complex ``(*batch, coils, height, width)``.

        Returns:
            y of shape ``(*batch, coils, m)``.
        """
        full = (self.out_shape[0], *self.in_shape)
        return self._gathered(self._checked(kspace, full, True))

    def zero_filled(self, y: Tensor) -> Tensor:
        """Return centred k-space ``(*batch, coils, height, width)`` zero where not sampled."""
        return self._scattered(self._checked(y, self.out_shape, True))

    def _forward(self, x: Tensor) -> Tensor:
        image = self._framed(x).unsqueeze(-3)
        return torch.cat([self._encoded(maps * image) for maps in self._groups(x)], dim=-2)

    def _adjoint(self, y: Tensor) -> Tensor:
        image = self._framed(y.new_zeros(*y.shape[:-2], *self.in_shape))
        groups = self._groups(image)
        parts = torch.split(y, [len(g) for g in groups], dim=-2)
        for maps, part in zip(groups, parts, strict=True):
            image = _combined(image, maps, self._decoded(part))
        return self._unframed(image)

    def _normal(self, x: Tensor) -> Tensor:
        dims = (-1,) if self._lines_only else (-2, -1)
        shifted = self._framed(x)
        image = torch.zeros_like(shifted)
        for maps in self._groups(x):
            kspace = torch.fft.fftn(maps * shifted.unsqueeze(-3), dim=dims, norm="ortho")
            kspace = kspace * self._weights
            image = _combined(image, maps, torch.fft.ifftn(kspace, dim=dims, norm="ortho"))
        return self._unframed(image)

    def _framed(self, x: Tensor) -> Tensor:
        """Move the origin to index 0 and the phase encoding to the last axis: faster in memory."""
        shifted = torch.fft.ifftshift(x, dim=(-2, -1))
        return shifted.mT.contiguous() if self._transposed else shifted

    def _unframed(self, image: Tensor) -> Tensor:
        return torch.fft.fftshift(image.mT if self._transposed else image, dim=(-2, -1))

    def _groups(self, images: Tensor) -> tuple[Tensor, ...]:
        """Split the maps into groups of coils that are transformed at once."""
        size = max(1, _GROUP // max(1, images.numel()))
        return torch.split(matched(self._encoding, images), size)

    def _encoded(self, coils: Tensor) -> Tensor:
        """Map coil images, framed, to y."""
        if not self._lines_only:
            return self._gathered(torch.fft.fft2(coils, norm="ortho"))
        hybrid = torch.fft.fft(coils, dim=-1, norm="ortho").index_select(-1, self._lines)
        lines = torch.fft.fft(hybrid, dim=-2, norm="ortho")
        return (lines.mT if self._transposed else lines).flatten(-2)

    def _decoded(self, y: Tensor) -> Tensor:
        """Map y to coil images, framed: the adjoint of _encoded."""
        if not self._lines_only:
            return torch.fft.ifft2(self._scattered(y), norm="ortho")
        height, width = self.in_shape
        sizes = (-1, width) if self._transposed else (height, -1)
        lines = y.reshape(*y.shape[:-1], *sizes)
        lines = torch.fft.ifft(lines.mT if self._transposed else lines, dim=-2, norm="ortho")
        empty = y.new_zeros(*lines.shape[:-1], self._weights.shape[-1])
        hybrid = empty.index_copy(-1, self._lines, lines)
        return torch.fft.ifft(hybrid, dim=-1, norm="ortho")

    def _gathered(self, kspace: Tensor) -> Tensor:
        return kspace.flatten(-2).index_select(-1, self._entries)

    def _scattered(self, y: Tensor) -> Tensor:
        empty = y.new_zeros(*y.shape[:-1], self.mask.numel())
        return empty.index_copy(-1, self._entries, y).reshape(*y.shape[:-1], *self.in_shape)


class SingleCoilMRI(CartesianMRI, SVDOperator):
    """Sampled k-space of one uniform coil: orthonormal rows, so that A A^H = 1.

    Args:
        mask: Boolean (height, width) over centred k-space, True where sampled.

    Raises:
        ValueError: If the mask is not boolean and 2D or samples nothing.
    """

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask)
        self.register_buffer("singular_values", torch.ones(self.out_shape, device=mask.device))

    @override
    def U(self, z: Tensor) -> Tensor:
        return z

    @override
    def Uh(self, y: Tensor) -> Tensor:
        return y

    @override
    def V(self, z: Tensor) -> Tensor:
        return self._adjoint(z)

    @override
    def Vh(self, x: Tensor) -> Tensor:
        return self._forward(x)


def _combined(image: Tensor, maps: Tensor, coils: Tensor) -> Tensor:
    # one coil after the other: the same sum to the bit, however the coils are grouped
    for sensitivity, coil in zip(maps.conj().unbind(0), coils.unbind(-3), strict=True):
        image = torch.addcmul(image, sensitivity, coil)
    return image


def _line_axis(mask: Tensor) -> int | None:
    """Return the axis along which whole lines are selected, None if the mask has no such."""
    if torch.equal(mask, mask[:, :1].expand_as(mask)):
        return -2
    return -1 if torch.equal(mask, mask[:1].expand_as(mask)) else None


def _encoding(maps: Tensor) -> Tensor:
    """Return the maps with the origin at index 0 and the ramps that centre k-space."""
    rows, columns = (centring_ramp(n).to(maps.device) for n in maps.shape[1:])
    ramps = rows.unsqueeze(1) * columns
    shifted = torch.fft.ifftshift(maps, dim=(-2, -1))
    return (shifted * ramps).to(maps.dtype).resolve_conj().contiguous()
