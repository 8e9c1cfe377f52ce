"""The non-uniform transforms of the FINUFFT library."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from operators.mri.gridding import NonUniformTransform
from operators.mri.kaiser_bessel import LOOSEST, TIGHTEST

if TYPE_CHECKING:
    from collections.abc import Sequence

# what the library can reach in each precision: it warns on stderr and returns less
_LEAST_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-14}


class FinufftTransform(NonUniformTransform):
    """FINUFFT of type 2 and, for the adjoint, of type 1 at the same tolerance and oversampling.

    On a CUDA device it calls cufinufft in the same way; no test has run there.

    Args:
        trajectory: (m, ndim) in cycles per pixel.
        image_shape: Pixels along each axis.
        tolerance: Relative error; not below 1e-6 in float32.
        oversampling: 1.25, 2 or None: 1.25 above a tolerance of 1e-4, 2 below.

    Raises:
        ValueError: If an argument is out of range.
        ModuleNotFoundError: If finufft, or cufinufft for a CUDA trajectory, is not installed.
    """

    _points: Tensor

    def __init__(
        self,
        trajectory: Tensor,
        image_shape: Sequence[int],
        tolerance: float,
        oversampling: float | None = None,
    ) -> None:
        if not TIGHTEST <= tolerance <= LOOSEST or oversampling not in (None, 1.25, 2.0):
            raise ValueError(
                f"finufft: expected a tolerance in [{TIGHTEST}, {LOOSEST}] and oversampling of "
                f"1.25, 2 or None, got {tolerance} and {oversampling}"
            )
        _library(trajectory.device)
        num_pixels = math.prod(image_shape)
        # at most twice oversampled
        super().__init__(image_shape, trajectory.shape[0], 2 ** len(image_shape) * num_pixels)
        self._tolerance = tolerance
        # never None, as the library would choose one for type 1 and another for type 2: no adjoints
        if oversampling is None:
            oversampling = 1.25 if tolerance > 0.9e-4 else 2.0
        self._oversampling = float(oversampling)
        scaling = torch.full(tuple(image_shape), 1 / math.sqrt(num_pixels), dtype=torch.float64)
        self.register_buffer("scaling", scaling.to(trajectory.device))
        # in radians per pixel, one contiguous row for each axis
        self.register_buffer("_points", 2 * math.pi * trajectory.double().T.contiguous())

    def _encode(self, x: Tensor, weights: Tensor) -> Tensor:
        images = x.unsqueeze(1) * weights.movedim(-1, 0)
        samples = self._call(2, images.flatten(0, 1), isign=-1)
        return samples.reshape(*images.shape[:2], self.num_samples)

    def _decode(self, y: Tensor, weights: Tensor) -> Tensor:
        images = self._call(1, y.flatten(0, 1), self.image_shape, isign=1)
        coils = images.reshape(*y.shape[:2], *self.image_shape)
        return (coils * weights.conj().movedim(-1, 0)).sum(1)

    def _call(self, kind: int, stack: Tensor, *sizes: tuple[int, ...], isign: int) -> Tensor:
        real, on_cpu = stack.dtype.to_real(), stack.device.type == "cpu"
        options: dict[str, float] = {
            "eps": max(self._tolerance, _LEAST_TOLERANCE[real]),
            "upsampfac": self._oversampling,
        }
        if on_cpu:
            options["nthreads"] = torch.get_num_threads()
        function = getattr(_library(stack.device), f"nufft{len(self.image_shape)}d{kind}")
        arrays = [*self._points.to(real), stack.contiguous()]
        if not on_cpu:
            return function(*arrays, *sizes, isign=isign, **options)
        result = function(*(a.numpy() for a in arrays), *sizes, isign=isign, **options)
        return torch.from_numpy(result)


def _library(device: torch.device) -> Any:
    # optional, and imported only when asked for
    return importlib.import_module("finufft" if device.type == "cpu" else "cufinufft")
