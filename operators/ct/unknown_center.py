"""Scans whose centre of rotation is not where it should be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators.base import Composition, LinearOperator, matched
from operators.nonlinear import NonlinearOperator

if TYPE_CHECKING:
    from collections.abc import Sequence


class DetectorShift(LinearOperator):
    r"""Move a sinogram along the detector by the shift theorem.

    .. math:: (S_c p)_d = p(s_d + c)

    of the band-limited interpolant of the samples, zero for one width beyond either end: what
    leaves the detector is lost. Exact to rounding for whole numbers of detector elements.

    Args:
        sinogram_shape: (..., detector elements).
        offset: c in mm, as the ``detector_offset`` of a geometry.
        detector_spacing: Pitch of the elements in mm.

    Raises:
        ValueError: If the offset is not finite, beyond the width of the detector, or the spacing
            is not positive.
    """

    offset: Tensor

    def __init__(
        self, sinogram_shape: Sequence[int], offset: float, detector_spacing: float
    ) -> None:
        width = sinogram_shape[-1] * detector_spacing
        if not 0 < detector_spacing < math.inf or not abs(offset) <= width:
            raise ValueError(
                f"DetectorShift: offset {offset} mm, spacing {detector_spacing} mm, "
                f"{sinogram_shape[-1]} elements"
            )
        super().__init__(sinogram_shape, sinogram_shape)
        self.spacing = detector_spacing
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float64))

    def _forward(self, x: Tensor) -> Tensor:
        return _filtered(x, _phase(matched(self.offset, x), x.shape[-1], self.spacing))

    def _adjoint(self, y: Tensor) -> Tensor:
        return _filtered(y, _phase(matched(-self.offset, y), y.shape[-1], self.spacing))


class UnknownCenterRadon(NonlinearOperator):
    r"""Sinogram as a function of the image and of the detector's offset together.

    .. math:: F(x, c) = S_c P x, \qquad J (\delta x, \delta c) = S_c P \, \delta x
        + \delta c \, S_c' P x

    with the projector P and the shift :class:`DetectorShift`; linear in x, smooth in c. The
    unknowns are one vector z: the pixels, row-major, and then c in mm. The centroid of the
    parallel rays' views follows a sinusoid of the angle about -c, which sets c apart from where
    the image lies, best over a full turn.

    Args:
        projector: P, whose last output axis is the detector, such as
            :class:`~operators.ct.sparse.ParallelBeam2D`; c comes on top of the
            ``detector_offset`` of its geometry.
        detector_spacing: Pitch of the elements in mm.

    Raises:
        ValueError: If the projector is complex or the spacing is not positive.
    """

    def __init__(self, projector: LinearOperator, detector_spacing: float) -> None:
        if projector.in_complex or projector.out_complex:
            raise ValueError("UnknownCenterRadon: expected a real projector")
        if not 0 < detector_spacing < math.inf:
            raise ValueError(f"UnknownCenterRadon: detector_spacing is {detector_spacing}")
        super().__init__((math.prod(projector.in_shape) + 1,), projector.out_shape)
        self.projector, self.spacing = projector, detector_spacing

    def pack(self, image: Tensor, offset: Tensor) -> Tensor:
        """Return z of an image ``(*batch, *image_shape)`` and of an offset ``batch`` in mm."""
        batch = image.shape[: image.ndim - len(self.projector.in_shape)]
        flat = image.reshape(*batch, self.in_shape[0] - 1)
        batch = torch.broadcast_shapes(batch, offset.shape)  # type: ignore[no-untyped-call]
        parts = (flat.expand(*batch, -1), offset.to(flat).expand(batch).unsqueeze(-1))
        return torch.cat(parts, dim=-1)

    def unpack(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the image ``(*batch, *image_shape)`` and the offset ``batch`` in mm of z."""
        return z[..., :-1].reshape(*z.shape[:-1], *self.projector.in_shape), z[..., -1]

    def project(self, image: Tensor, offset: Tensor) -> Tensor:
        """Return F of an image ``(*batch, *image_shape)`` and of an offset ``batch`` in mm."""
        return self.forward(self.pack(image, offset))

    def at(self, offset: float) -> LinearOperator:
        """Return the linear map x -> F(x, c) for a known offset in mm."""
        return Composition(DetectorShift(self.out_shape, offset, self.spacing), self.projector)

    def _forward(self, x: Tensor) -> Tensor:
        image, offset = self.unpack(x)
        return _filtered(self.projector._forward(image), self._phase(offset))

    def _jvp(self, x: Tensor, v: Tensor) -> Tensor:
        (image, offset), (d_image, d_offset) = self.unpack(x), self.unpack(v)
        moved = _filtered(self.projector._forward(d_image), self._phase(offset))
        return moved + self._expanded(d_offset) * self._derivative(image, offset)

    def _vjp(self, x: Tensor, w: Tensor) -> Tensor:
        image, offset = self.unpack(x)
        gradient = self.projector._adjoint(_filtered(w, self._phase(-offset)))
        slope = self._derivative(image, offset) * w
        return self.pack(gradient, slope.sum(tuple(range(-len(self.out_shape), 0))))

    def _derivative(self, image: Tensor, offset: Tensor) -> Tensor:
        """Return dF / dc."""
        phase, size = self._phase(offset), self.out_shape[-1]
        frequencies = 1j * _angular_frequencies(size, self.spacing).to(phase)
        return _filtered(self.projector._forward(image), frequencies * phase)

    def _phase(self, offset: Tensor) -> Tensor:
        return _phase(self._expanded(offset), self.out_shape[-1], self.spacing)

    def _expanded(self, offset: Tensor) -> Tensor:
        return offset.reshape(*offset.shape, *(1,) * len(self.out_shape))


def _angular_frequencies(size: int, spacing: float) -> Tensor:
    return 2 * math.pi * torch.fft.rfftfreq(2 * size, spacing, dtype=torch.float64)


def _phase(offset: Tensor, size: int, spacing: float) -> Tensor:
    frequencies = _angular_frequencies(size, spacing).to(offset)
    return torch.polar(torch.ones_like(frequencies), frequencies * offset)


def _filtered(sinogram: Tensor, transfer: Tensor) -> Tensor:
    """Filter along the detector; as many zeros as elements keep the ends apart."""
    size = sinogram.shape[-1]
    spectrum = transfer * torch.fft.rfft(sinogram, n=2 * size, dim=-1)
    return torch.fft.irfft(spectrum, n=2 * size, dim=-1)[..., :size]
