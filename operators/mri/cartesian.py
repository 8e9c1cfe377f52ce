"""Multi-coil and single-coil Cartesian MRI of images, volumes and moving frames."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import LinearOperator, SVDOperator, matched
from operators.fourier import centring_ramp
from operators.mri._axes import AxisOrder

# entries of coil images that are transformed at once: larger ones leave the processor's cache
_GROUP = 2**21


class CartesianMRI(LinearOperator):
    r"""Sampled k-space of every coil, with centred orthonormal transforms, in 2D or 3D.

    .. math:: y_c = M F (s_c \odot x)

    x is a complex image (height, width) or volume (depth, height, width); y has shape (coils, m)
    and holds the m sampled entries alone, in row-major order. Both shifts of the centred transform
    live in the maps (the ramps of :func:`operators.fourier.centring_ramp`) and in one roll of x,
    so that no k-space is touched.

    Axes along which the mask is constant are readouts: they are transformed for the sampled lines
    only, and A^H A needs no readout transform at all, as it cancels:
    :math:`A^H A = S^H F_p^H M F_p S` along the phase-encoding axes p.

    Args:
        mask: Boolean over centred k-space, True where sampled: the shape of x, or for a volume the
            (height, width) of its phase encoding alone, with readouts along the depth.
        maps: Complex coil sensitivities (coils, height, width) or (coils, depth, height, width);
            None is a single uniform coil.

    Raises:
        ValueError: If the mask is not boolean, 2D or 3D, or samples nothing, or the maps are not
            complex, finite and of the mask's shape.
    """

    in_complex = out_complex = True
    mask: Tensor
    _num_frame_axes = 0
    _encoding: Tensor
    _entries: Tensor
    _lines: Tensor
    _weights: Tensor
    _order: Tensor
    _inverse_order: Tensor

    def __init__(self, mask: Tensor, maps: Tensor | None = None) -> None:
        mask, maps = self._checked_parts(mask, maps)
        super().__init__(mask.shape, (maps.shape[0], int(mask.sum())))
        frames = self._num_frame_axes
        self._axes = AxisOrder.of(mask, frames)
        weights = self._axes.framed(mask)[(0,) * len(self._axes.readouts)]
        self.register_buffer("mask", mask.clone())
        self.register_buffer("_entries", mask.flatten().nonzero().squeeze(1))
        self.register_buffer("_lines", weights.flatten().nonzero().squeeze(1))
        self.register_buffer("_weights", weights.clone())
        if not self._axes.contiguous:
            order = self._axes.row_major_order(mask, self._lines)
            self.register_buffer("_order", order)
            self.register_buffer("_inverse_order", order.argsort())
        encoding = _encoding(maps)[(slice(None), *(None,) * frames)]
        self.register_buffer("_encoding", self._axes.framed(encoding).contiguous())

    def sample(self, kspace: Tensor) -> Tensor:
        """Gather the sampled entries of centred k-space.

        Args:
            kspace: Complex ``(*batch, coils, *in_shape)``.

        Returns:
            y of shape ``(*batch, coils, m)``.
        """
        full = (self.out_shape[0], *self.in_shape)
        kspace = self._checked(kspace, full, True)
        return kspace.flatten(-len(self.in_shape)).index_select(-1, self._entries)

    def zero_filled(self, y: Tensor) -> Tensor:
        """Return centred k-space ``(*batch, coils, *in_shape)``, zero where not sampled."""
        y = self._checked(y, self.out_shape, True)
        empty = y.new_zeros(*y.shape[:-1], self.mask.numel())
        return empty.index_copy(-1, self._entries, y).reshape(*y.shape[:-1], *self.in_shape)

    def _forward(self, x: Tensor) -> Tensor:
        image = self._framed(x).unsqueeze(self._coil_axis)
        return torch.cat([self._encoded(maps * image) for maps in self._groups(x)], dim=-2)

    def _adjoint(self, y: Tensor) -> Tensor:
        image = self._framed(y.new_zeros(*y.shape[:-2], *self.in_shape))
        groups = self._groups(image)
        parts = torch.split(y, [len(g) for g in groups], dim=-2)
        for maps, part in zip(groups, parts, strict=True):
            image = self._combined(image, maps, self._decoded(part))
        return self._unframed(image)

    def _normal(self, x: Tensor) -> Tensor:
        dims = self._axes.encoded_dims
        shifted = self._framed(x)
        image = torch.zeros_like(shifted)
        for maps in self._groups(x):
            # nothing named outlives its use: page faults of large blocks cost as much as a pass
            coils = shifted.unsqueeze(self._coil_axis)
            kspace = torch.fft.fftn(maps * coils, dim=dims, norm="ortho")
            kspace = kspace * self._weights
            image = self._combined(image, maps, torch.fft.ifftn(kspace, dim=dims, norm="ortho"))
        return self._unframed(image)

    def _checked_parts(self, mask: Tensor, maps: Tensor | None) -> tuple[Tensor, Tensor]:
        name, frames = type(self).__name__, self._num_frame_axes
        axes = "(frames, height, width)" if frames else "(height, width)"
        if mask.dtype != torch.bool or mask.ndim - frames not in (2, 3) or not mask.any():
            raise ValueError(
                f"{name}: expected a boolean mask {axes}, or of a volume, with a sampled entry, "
                f"got {mask.dtype} {tuple(mask.shape)}"
            )
        if maps is None:
            shape = mask.shape[frames:]
            maps = torch.ones(1, *shape, dtype=torch.complex128, device=mask.device)
        if maps.ndim == mask.ndim - frames + 2 == 4:
            depth = (-1,) * frames + (maps.shape[1], -1, -1)
            mask = mask.unsqueeze(frames).expand(*depth)
        shape = mask.shape[frames:]
        if not maps.is_complex() or maps.ndim != len(shape) + 1 or maps.shape[1:] != shape:
            raise ValueError(
                f"{name}: expected complex maps (coils, {', '.join(map(str, shape))}), "
                f"got {maps.dtype} {tuple(maps.shape)}"
            )
        if maps.numel() == 0 or not maps.isfinite().all():
            raise ValueError(f"{name}: the maps are empty or not finite")
        return mask, maps

    @property
    def _coil_axis(self) -> int:
        return -1 - len(self.in_shape)

    def _framed(self, x: Tensor) -> Tensor:
        """Move the origin to index 0 and the phase encoding to the last axes: faster in memory."""
        return self._axes.framed(torch.fft.ifftshift(x, dim=self._axes.spatial_dims)).contiguous()

    def _unframed(self, image: Tensor) -> Tensor:
        return torch.fft.fftshift(self._axes.unframed(image), dim=self._axes.spatial_dims)

    def _groups(self, images: Tensor) -> tuple[Tensor, ...]:
        """Split the maps into groups of coils that are transformed at once."""
        size = max(1, _GROUP // max(1, images.numel()))
        return torch.split(matched(self._encoding, images), size)

    def _encoded(self, coils: Tensor) -> Tensor:
        """Map coil images, framed, to y."""
        kspace = torch.fft.fftn(coils, dim=self._axes.encoded_dims, norm="ortho")
        lines = kspace.flatten(-self._weights.ndim).index_select(-1, self._lines)
        readouts = len(self._axes.readouts)
        if readouts:
            lines = torch.fft.fftn(lines, dim=self._axes.readout_dims, norm="ortho")
        if self._axes.contiguous:
            return lines.movedim(-1, self._axes.line_dim).flatten(-1 - readouts)
        return lines.flatten(-1 - readouts).index_select(-1, self._order)

    def _decoded(self, y: Tensor) -> Tensor:
        """Map y to coil images, framed: the adjoint of _encoded."""
        axes, batch = self._axes, y.shape[:-1]
        sizes = [self.in_shape[r] for r in axes.readouts]
        if axes.contiguous:
            sizes.insert(axes.line_dim + 1 + len(sizes), -1)
            lines = y.reshape(*batch, *sizes).movedim(axes.line_dim, -1)
        else:
            lines = y.index_select(-1, self._inverse_order).reshape(*batch, *sizes, -1)
        if axes.readouts:
            lines = torch.fft.ifftn(lines, dim=axes.readout_dims, norm="ortho")
        empty = y.new_zeros(*lines.shape[:-1], self._weights.numel())
        hybrid = empty.index_copy(-1, self._lines, lines)
        hybrid = hybrid.reshape(*lines.shape[:-1], *self._weights.shape)
        return torch.fft.ifftn(hybrid, dim=axes.encoded_dims, norm="ortho")

    def _combined(self, image: Tensor, maps: Tensor, coils: Tensor) -> Tensor:
        # one coil after the other: the same sum to the bit, however the coils are grouped
        pairs = zip(maps.conj().unbind(0), coils.unbind(self._coil_axis), strict=True)
        for sensitivity, coil in pairs:
            image = torch.addcmul(image, sensitivity, coil)
        return image


class DynamicMRI(CartesianMRI):
    r"""Frames of a moving object, each with its own sampling and all with the same coil maps.

    .. math:: y_{c,t} = M_t F (s_c \odot x_t)

    x is complex (frames, height, width) or (frames, depth, height, width); y has shape (coils, m),
    the sampled entries of all frames in row-major order, so that frames may differ in their
    number. Axes along which every frame is fully sampled are readouts as in :class:`CartesianMRI`.

    Args:
        mask: Boolean over the centred k-space of every frame, in the shape of x, or for volumes
            the phase encoding (frames, height, width) alone.
        maps: Complex coil sensitivities without a frame axis; None is a single uniform coil.

    Raises:
        ValueError: As :class:`CartesianMRI`.
    """

    _num_frame_axes = 1


class SingleCoilMRI(CartesianMRI, SVDOperator):
    """Sampled k-space of one uniform coil: orthonormal rows, so that A A^H = 1.

    Args:
        mask: Boolean (height, width) or (depth, height, width) over centred k-space, True where
            sampled.

    Raises:
        ValueError: If the mask is not boolean, 2D or 3D, or samples nothing.
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


class SingleCoilDynamicMRI(SingleCoilMRI, DynamicMRI):
    """Sampled k-space of moving frames and one uniform coil: orthonormal rows.

    Args:
        mask: Boolean (frames, height, width) or (frames, depth, height, width), as
            :class:`DynamicMRI`.

    Raises:
        ValueError: As :class:`SingleCoilMRI`.
    """


def _encoding(maps: Tensor) -> Tensor:
    """Return the maps with the origin at index 0 and the ramps that centre k-space."""
    dims = tuple(range(1, maps.ndim))
    encoding = torch.fft.ifftshift(maps, dim=dims)
    for dim in dims:
        ramp = centring_ramp(maps.shape[dim]).to(maps.device)
        encoding = encoding * ramp.reshape(-1, *(1,) * (maps.ndim - 1 - dim))
    return encoding.to(maps.dtype).resolve_conj().contiguous()
