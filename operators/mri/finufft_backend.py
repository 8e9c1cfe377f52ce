"""The non-uniform transforms of the FINUFFT library, on the CPU."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import finufft
import torch
from torch import Tensor

from operators.mri.gridding import NonUniformTransform
from operators.mri.kaiser_bessel import LOOSEST, TIGHTEST

if TYPE_CHECKING:
    from collections.abc import Sequence

# what the library can reach in each precision: it warns on stderr and returns less
_LEAST_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14}
_TYPE1 = {1: finufft.nufft1d1, 2: finufft.nufft2d1, 3: finufft.nufft3d1}
_TYPE2 = {1: finufft.nufft1d2, 2: finufft.nufft2d2, 3: finufft.nufft3d2}


class FinufftTransform(NonUniformTransform):
    """FINUFFT of type 2 and, for the adjoint, of type 1 at the same tolerance.

    Args:
        trajectory: (m, ndim) in cycles per pixel.
        image_shape: Pixels along each axis.
        tolerance: Relative error; not below 1e-6 in float32.
        oversampling: 1.25, 2 or None: 1.25 above a tolerance of 1e-4, 2 below.

    Raises:
        ValueError: If the trajectory is not on the CPU or another argument is out of range.
    """

    _points: Tensor

    def __init__(
        self,
        trajectory: Tensor,
        image_shape: Sequence[int],
        tolerance: float,
        oversampling: float | None = None,
    ) -> None:
        if trajectory.device.type != "cpu":
            raise ValueError(f"the finufft backend is on the CPU, got {trajectory.device}")
        if not TIGHTEST <= tolerance <= LOOSEST or oversampling not in (None, 1.25, 2.0):
            raise ValueError(
                f"finufft: expected a tolerance in [{TIGHTEST}, {LOOSEST}] and oversampling of "
                f"1.25, 2 or None, got {tolerance} and {oversampling}"
            )
        num_pixels = math.prod(image_shape)
        # at most twice oversampled
        super().__init__(image_shape, trajectory.shape[0], 2 ** len(image_shape) * num_pixels)
        self._tolerance = tolerance
        # named, as the library would choose one for type 1 and another for type 2
        if oversampling is None:
            oversampling = 1.25 if tolerance > 0.9e-4 else 2.0
        self._oversampling = float(oversampling)
        orthonormal = 1 / math.sqrt(num_pixels)
        scaling = torch.full(tuple(image_shape), orthonormal, dtype=torch.float64)
        self.register_buffer("scaling", scaling)
        # in radians per pixel, one contiguous row for each axis
        self.register_buffer("_points", 2 * math.pi * trajectory.double().T.contiguous())

    def _arguments(self, v: Tensor) -> tuple[list[object], dict[str, object]]:
        real = v.dtype.to_real()
        points = [p.numpy() for p in self._points.to(real)]
        tolerance = max(self._tolerance, _LEAST_TOLERANCE[real])
        return points, {
            "eps": tolerance,
            "nthreads": torch.get_num_threads(),
            "upsampfac": self._oversampling,
        }

    def _encode(self, x: Tensor, weights: Tensor) -> Tensor:
        images = x.unsqueeze(1) * weights.movedim(-1, 0)
        points, options = self._arguments(x)
        stack = images.flatten(0, 1).contiguous().numpy()
        samples = _TYPE2[len(self.image_shape)](*points, stack, isign=-1, **options)
        return torch.from_numpy(samples).reshape(*images.shape[:2], self.num_samples)

    def _decode(self, y: Tensor, weights: Tensor) -> Tensor:
        points, options = self._arguments(y)
        stack = y.flatten(0, 1).contiguous().numpy()
        images = _TYPE1[len(self.image_shape)](*points, stack, self.image_shape, isign=1, **options)
        coils = torch.from_numpy(images).reshape(*y.shape[:2], *self.image_shape)
        return (coils * weights.conj().movedim(-1, 0)).sum(1)
