"""The non-uniform Fourier transform as an operator."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from torch import Tensor
from typing_extensions import override

from operators.base import matched
from operators.mri.backends import Backend, make_transform
from operators.mri.checks import checked_trajectory
from operators.pair import MatchedPair

if TYPE_CHECKING:
    from collections.abc import Sequence


class SampledFourier(MatchedPair):
    """Base of operators from complex images to samples of their Fourier transform."""

    in_complex = out_complex = True

    @abc.abstractmethod
    def _encode(self, x: Tensor) -> Tensor:
        """Map (b, *in_shape) to (b, *out_shape)."""

    @abc.abstractmethod
    def _decode(self, y: Tensor) -> Tensor:
        """Map (b, *out_shape) to (b, *in_shape)."""

    @override
    def _product(self, v: Tensor, transposed: bool) -> Tensor:
        return self._decode(v) if transposed else self._encode(v)


class NUFFT(SampledFourier):
    r"""Fourier transform of an image at any points, centred and orthonormal.

    .. math:: y_j = N^{-1/2} \sum_p x_p \, e^{-2 \pi i k_j \cdot (p - c)},
        \quad c = \lfloor n / 2 \rfloor

    On the Cartesian trajectory it is :func:`operators.fourier.fft`. The adjoint is the conjugate
    transpose to rounding, at any tolerance. x is complex ``(*image_shape)``, y complex (m).

    The interpolation is a sparse matrix, twice m w^ndim numbers of the trajectory's precision and
    as many indices (w = 6 at a tolerance of 1e-3, 8 at 1e-5): ``operator.to(torch.float32)`` halves
    the numbers and saves a conversion at every call. In 3D a million samples at 1e-3 are 3.5 GB
    then; the finufft backend stores none of it.

    Args:
        trajectory: Real (..., ndim) in cycles per pixel, in [-0.5, 0.5], the last dimension in the
            order of the image's axes; leading dimensions are flattened to m.
        image_shape: Pixels along each of the one to three axes.
        tolerance: Relative error of y, in [1e-13, 0.1]. Rounding leaves about 1e-6 in float32.
        oversampling: Ratio of the grid to the image, in [1.2, 4]; None chooses it.
        backend: "gridding" (of this package) or "finufft" :cite:p:`barnett2019`, to be installed,
            which stores no matrix. Its pair is adjoint to rounding as well; its error may be twice
            the tolerance, and it rounds the trajectory to the precision of the image.

    Raises:
        ValueError: If the trajectory is not in float32 or float64, finite and within [-0.5, 0.5]
            (an error and not a wrap: points outside mean other units), wants gradients or does not
            fit the shape, or another argument is out of range.
    """

    def __init__(
        self,
        trajectory: Tensor,
        image_shape: Sequence[int],
        *,
        tolerance: float = 1e-5,
        oversampling: float | None = None,
        backend: Backend = "gridding",
    ) -> None:
        points = checked_trajectory(type(self).__name__, trajectory, image_shape)
        super().__init__(image_shape, points.shape[:1])
        self._transform = make_transform(points, image_shape, tolerance, oversampling, backend)

    @override
    def _encode(self, x: Tensor) -> Tensor:
        scaling = matched(self._transform.scaling, x).unsqueeze(-1)
        return self._transform.encode(x, scaling).squeeze(1)

    @override
    def _decode(self, y: Tensor) -> Tensor:
        scaling = matched(self._transform.scaling, y).unsqueeze(-1)
        return self._transform.decode(y.unsqueeze(1), scaling)
