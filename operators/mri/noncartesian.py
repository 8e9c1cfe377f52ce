"""Multi-coil MRI on non-Cartesian trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from typing_extensions import override

from operators.base import matched
from operators.mri.backends import Backend, make_transform
from operators.mri.checks import checked_maps, checked_trajectory
from operators.mri.nufft import SampledFourier
from operators.mri.toeplitz import ToeplitzNormal

if TYPE_CHECKING:
    from collections.abc import Sequence


class NonCartesianMRI(SampledFourier):
    r"""Samples of every coil at any points of k-space, in two or three dimensions.

    .. math:: y_{c, j} = N^{-1/2} \sum_p s_{c, p} \, x_p \, e^{-2 \pi i k_j \cdot (p - c_0)}

    :cite:p:`pruessmann2001`. x is a complex image ``(*image_shape)``, y has shape (coils, m). The
    maps and the correction of the gridding kernel are one buffer, and coils are transformed
    together, so that the interpolation matrix is read once for all of them.

    Args:
        trajectory: Real (..., ndim) in cycles per pixel; see :class:`operators.mri.nufft.NUFFT`.
        image_shape: Pixels along each axis.
        maps: Complex coil sensitivities ``(coils, *image_shape)``; None is a single uniform coil.
        tolerance: Relative error of y, in [1e-13, 0.1].
        oversampling: As for NUFFT.
        backend: As for NUFFT.
        toeplitz: Whether `normal` convolves with the point spread function :cite:p:`fessler2005`
            rather than going to the samples and back: it agrees to the tolerance, and its cost does
            not depend on m. Going there and back is faster for few samples (on a CPU, 64 spokes of
            512 for a 256^2 image).

    Raises:
        ValueError: If the trajectory or a number is not as NUFFT demands, or the maps are not
            complex, finite and of the image's shape.
    """

    _weights: Tensor

    def __init__(
        self,
        trajectory: Tensor,
        image_shape: Sequence[int],
        maps: Tensor | None = None,
        *,
        tolerance: float = 1e-5,
        oversampling: float | None = None,
        backend: Backend = "gridding",
        toeplitz: bool = False,
    ) -> None:
        name = type(self).__name__
        points = checked_trajectory(name, trajectory, image_shape)
        maps = checked_maps(name, maps, image_shape, points)
        super().__init__(image_shape, (maps.shape[0], points.shape[0]))
        self._transform = make_transform(points, image_shape, tolerance, oversampling, backend)
        weights = maps.movedim(0, -1) * self._transform.scaling.unsqueeze(-1)
        self.register_buffer("_weights", weights.to(points.dtype.to_complex()).contiguous())
        self._toeplitz: ToeplitzNormal | None = None
        if toeplitz:
            self._toeplitz = ToeplitzNormal(points, image_shape, maps, tolerance=tolerance)

    @override
    def _encode(self, x: Tensor) -> Tensor:
        return self._transform.encode(x, matched(self._weights, x))

    @override
    def _decode(self, y: Tensor) -> Tensor:
        return self._transform.decode(y, matched(self._weights, y))

    def _normal(self, x: Tensor) -> Tensor:
        return super()._normal(x) if self._toeplitz is None else self._toeplitz._forward(x)
