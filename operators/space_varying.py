"""Blur whose point spread function changes over the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from operators._convolution import Border, centred_at_zero, check_psf
from operators.base import LinearOperator, matched


class SpaceVaryingBlur(LinearOperator):
    r"""Sum of convolutions of the weighted image (product-convolution).

    .. math:: A x = \sum_k h_k * (w_k \odot x)

    A point at i is spread by :math:`\sum_k w_k(i) h_k`, the PSF interpolated at i, so that light
    is kept where the PSFs and the weights sum to 1 (Nagy and O'Leary 1998; Escande and Weiss
    2017). One transform of x for each PSF and a single one back; the adjoint the other way round.

    Args:
        psfs: Real h, shape ``(K, *psf_shape)``, no larger than the image; centre at ``size // 2``.
        weights: Real w, shape ``(K, *in_shape)``, as of :func:`interpolation_weights`.
        boundary: Periodic, or mirrored half a sample outside the last pixel (of the weighted
            image).

    Raises:
        ValueError: If there is no PSF, the PSFs do not fit, the numbers of PSFs and of weights
            differ, anything is complex or not finite, or the boundary is unknown.
    """

    weights: Tensor
    _half_transfers: Tensor

    def __init__(
        self,
        psfs: Tensor,
        weights: Tensor,
        boundary: Literal["circular", "reflective"] = "circular",
    ) -> None:
        _check("SpaceVaryingBlur", psfs, weights, boundary)
        super().__init__(weights.shape[1:], weights.shape[1:])
        self._border = (
            Border.periodic(self.in_shape)
            if boundary == "circular"
            else Border.reflective(self.in_shape, psfs.shape[1:])
        )
        self._dims = tuple(range(-len(self.in_shape), 0))
        kernels = torch.stack([centred_at_zero(h, self._border.shape) for h in psfs])
        self.register_buffer("_half_transfers", torch.fft.rfftn(kernels, dim=self._dims))
        self.register_buffer("weights", weights.clone())

    def _forward(self, x: Tensor) -> Tensor:
        spectrum = torch.zeros((), dtype=x.dtype.to_complex(), device=x.device)
        # one PSF after the other, so that memory does not grow with their number
        for weight, transfer in self._terms(x):
            extended = self._border.extended(weight * x)
            spectrum = torch.addcmul(spectrum, transfer, torch.fft.rfftn(extended, dim=self._dims))
        total = torch.fft.irfftn(spectrum, s=self._border.shape, dim=self._dims)
        return self._border.cropped(total)

    def _adjoint(self, y: Tensor) -> Tensor:
        spectrum = torch.fft.rfftn(self._border.embedded(y), dim=self._dims)
        image = y.new_zeros(())
        for weight, transfer in self._terms(y):
            part = torch.fft.irfftn(
                transfer.conj() * spectrum, s=self._border.shape, dim=self._dims
            )
            image = torch.addcmul(image, weight, self._border.folded(part))
        return image

    def _terms(self, v: Tensor) -> list[tuple[Tensor, Tensor]]:
        constants = (matched(self.weights, v), matched(self._half_transfers, v))
        return list(zip(*constants, strict=True))


def interpolation_weights(
    positions: Sequence[Sequence[float]],
    shape: Sequence[int],
    kernel: Literal["linear", "hann"] = "hann",
) -> Tensor:
    r"""Interpolate between PSFs known on a rectangular grid of positions.

    .. math:: w(t) = 1 - t \ \text{(linear)}, \qquad \cos^2(\pi t / 2) \ \text{(hann)}

    t is the distance to a position over the distance to the next one; products along the axes.
    Beyond the outermost positions the weights are constant. They are 1 at their own position,
    0 at the others, not negative, and sum to 1 in every pixel.

    Args:
        positions: For each axis the increasing coordinates in pixels (0 is the first pixel's
            centre).
        shape: Shape of the image.
        kernel: ``"hann"`` has a continuous slope, ``"linear"`` has not.

    Returns:
        float64 weights ``(K, *shape)``; K runs over the grid of positions in row-major order.

    Raises:
        ValueError: If the positions are not increasing and finite, one axis each, or the kernel is
            unknown.
    """
    if len(positions) != len(shape) or kernel not in ("linear", "hann"):
        raise ValueError(
            f"interpolation_weights: {len(positions)} axes of positions for shape {tuple(shape)}, "
            f"kernel {kernel!r}"
        )
    weights = torch.ones((1,) + (1,) * len(shape), dtype=torch.float64)
    for axis, (knots, size) in enumerate(zip(positions, shape, strict=True)):
        profile = _partition(torch.as_tensor(knots, dtype=torch.float64), size, kernel)
        extent = [1] * len(shape)
        extent[axis] = size
        profile = profile.reshape(-1, *extent)
        weights = (weights.unsqueeze(1) * profile).flatten(0, 1)
    return weights


def _partition(knots: Tensor, size: int, kernel: str) -> Tensor:
    """Return the weights along one axis, (knots, size)."""
    if (
        knots.ndim != 1
        or len(knots) == 0
        or not knots.isfinite().all()
        or (knots.diff() <= 0).any()
    ):
        raise ValueError(f"interpolation_weights: positions {knots.tolist()} do not increase")
    if len(knots) == 1:
        return torch.ones(1, size, dtype=torch.float64)
    pixels = torch.arange(size, dtype=torch.float64).clamp(knots[0].item(), knots[-1].item())
    after = torch.searchsorted(knots, pixels).clamp(1, len(knots) - 1)
    t = (pixels - knots[after - 1]) / (knots[after] - knots[after - 1])
    t = torch.sin(math.pi / 2 * t) ** 2 if kernel == "hann" else t
    weights = torch.zeros(len(knots), size, dtype=torch.float64)
    weights.scatter_(0, after.unsqueeze(0) - 1, (1 - t).unsqueeze(0))
    return weights.scatter_(0, after.unsqueeze(0), t.unsqueeze(0))


def _check(name: str, psfs: Tensor, weights: Tensor, boundary: str) -> None:
    if boundary not in ("circular", "reflective"):
        raise ValueError(f"{name}: boundary {boundary!r} is neither 'circular' nor 'reflective'")
    if psfs.ndim < 2 or len(psfs) == 0 or psfs.shape[0] != weights.shape[0]:
        raise ValueError(
            f"{name}: expected (K, *psf_shape) and (K, *in_shape), got "
            f"{tuple(psfs.shape)} and {tuple(weights.shape)}"
        )
    if not weights.is_floating_point() or not weights.isfinite().all():
        raise ValueError(f"{name}: expected finite real weights, got {weights.dtype}")
    for psf in psfs:
        check_psf(name, psf, weights.shape[1:])
