"""Non-Cartesian MRI in a field that is not uniform."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from operators.base import matched
from operators.mri.noncartesian import NonCartesianMRI

if TYPE_CHECKING:
    from operators.mri.backends import Backend

# more would not change the fit: the phase varies by far less than a turn within a bin
_HISTOGRAM_BINS = 512
# singular values below hold rounding alone, once there are more segments than the phase needs
_RANK_TOLERANCE = 1e-12


class OffResonanceMRI(NonCartesianMRI):
    r"""Non-Cartesian MRI with a phase that grows with time and with the local field.

    .. math:: y_{c, j} = N^{-1/2} \sum_p s_{c, p} \, x_p \, e^{2 \pi i f_p t_j}
        e^{-2 \pi i k_j \cdot (p - c_0)}, \quad
        e^{2 \pi i f t} \approx \sum_{l=1}^L b_l(t) \, e^{2 \pi i f \tau_l}

    by time segmentation: L equispaced instants and interpolators that are least-squares over the
    histogram of the field map :cite:p:`sutton2003`. One transform for each segment; the adjoint is
    that of the sum, to rounding. x is complex ``(*image_shape)``, y has shape (coils, m).

    Args:
        trajectory: Real (..., ndim) in cycles per pixel; see :class:`operators.mri.nufft.NUFFT`.
        field_map: Real f ``(*image_shape)`` in Hz.
        sample_times: Real t in s since the excitation, one for each point of the trajectory.
        num_segments: L, at least 1; about six more than the (max f - min f) * (max t - min t)
            turns give 1e-3, and ``segmentation_error`` says what they do.
        maps: Complex coil sensitivities ``(coils, *image_shape)``; None is a single uniform coil.
        tolerance: Relative error of each segment's transform, in [1e-13, 0.1].
        oversampling: As for NUFFT.
        backend: As for NUFFT.

    Attributes:
        segmentation_error: Largest error of the interpolated phase factor, over the sample times
            and the occupied bins of the field map.

    Raises:
        ValueError: As NonCartesianMRI, and if the field map or the times are not real, finite and
            of their shape, or num_segments is less than 1.
    """

    _phases: Tensor
    _interpolators: Tensor

    def __init__(
        self,
        trajectory: Tensor,
        field_map: Tensor,
        sample_times: Tensor,
        num_segments: int,
        maps: Tensor | None = None,
        *,
        tolerance: float = 1e-5,
        oversampling: float | None = None,
        backend: Backend = "gridding",
    ) -> None:
        name = type(self).__name__
        num_samples = trajectory.shape[:-1].numel()
        _check_real(name, "field map", field_map)
        _check_real(name, "sample times", sample_times)
        if sample_times.numel() != num_samples or num_segments < 1:
            raise ValueError(
                f"{name}: expected {num_samples} sample times and at least one segment, "
                f"got {sample_times.numel()} and {num_segments}"
            )
        super().__init__(
            trajectory, field_map.shape, maps,
            tolerance=tolerance, oversampling=oversampling, backend=backend,
        )  # fmt: skip
        field, times = field_map.double(), sample_times.double().flatten()
        instants = torch.linspace(0, 1, num_segments, dtype=torch.float64, device=times.device)
        # a single segment sits in the middle
        instants = instants if num_segments > 1 else instants + 0.5
        instants = times.min() + instants * (times.max() - times.min())
        interpolators, self.segmentation_error = _interpolators(field, times, instants)
        dtype = self._weights.dtype
        self.register_buffer("_interpolators", interpolators.to(dtype))
        self.register_buffer("_phases", _turns(instants, field).to(dtype))

    def _segments(self, v: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the weights of the image and those of the samples, for every segment."""
        weights, phases = matched(self._weights, v), matched(self._phases, v)
        interpolators = matched(self._interpolators, v)
        return [(weights * p.unsqueeze(-1), b) for p, b in zip(phases, interpolators, strict=True)]

    @override
    def _encode(self, x: Tensor) -> Tensor:
        y = x.new_zeros(x.shape[0], *self.out_shape)
        for weights, interpolator in self._segments(x):
            y.addcmul_(self._transform.encode(x, weights), interpolator)
        return y

    @override
    def _decode(self, y: Tensor) -> Tensor:
        x = y.new_zeros(y.shape[0], *self.in_shape)
        for weights, interpolator in self._segments(y):
            x += self._transform.decode(y * interpolator.conj(), weights)
        return x


def _turns(times: Tensor, field: Tensor) -> Tensor:
    """Return exp(2 pi i t f), the times in front."""
    angles = 2 * math.pi * times.reshape(-1, *[1] * field.ndim) * field
    return torch.polar(torch.ones_like(angles), angles)


def _interpolators(field: Tensor, times: Tensor, instants: Tensor) -> tuple[Tensor, float]:
    """Fit the phase at all times by that at the instants: weights (segments, m), largest error."""
    bins, counts = _histogram(field)
    # spokes repeat the same times
    distinct, place = torch.unique(times, return_inverse=True)
    basis, wanted = _turns(instants, bins).T, _turns(distinct, bins).T
    root = counts.sqrt().unsqueeze(1)
    left, values, right = torch.linalg.svd(root * basis, full_matrices=False)
    kept = values > _RANK_TOLERANCE * values[0]
    left, values, right = left[:, kept], values[kept].unsqueeze(1), right[kept]
    # from right to left: an explicit pseudo-inverse would be inexact by its condition number
    fit = right.mH @ ((left.mH @ (root * wanted)) / values)
    error = (basis @ fit - wanted).abs().max().item()
    return fit[:, place], error


def _histogram(field: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centres of the occupied bins and how many pixels are in each."""
    low, high = field.min(), field.max()
    width = ((high - low) / _HISTOGRAM_BINS).clamp_min(torch.finfo(field.dtype).tiny)
    index = ((field.flatten() - low) / width).long().clamp_max(_HISTOGRAM_BINS - 1)
    occupied, counts = torch.unique(index, return_counts=True)
    centres = low + (occupied + 0.5) * width
    return centres, counts.to(field.dtype)


def _check_real(name: str, what: str, values: Tensor) -> None:
    if not values.is_floating_point() or values.numel() == 0 or not values.isfinite().all():
        raise ValueError(
            f"{name}: expected a real and finite {what}, got {values.dtype} {tuple(values.shape)}"
        )
