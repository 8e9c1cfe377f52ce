"""Boundary conditions of few parameters: noise whose spectrum is partly free."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from invdiff.superres.spectral_transform import SpectralTransform, TransformName

__all__ = ["CoefficientBasis", "RadialSpectrum", "SpectralBasis"]


class SpectralBasis(Protocol):
    """A family of boundary conditions x_T(theta).

    Attributes:
        start: The theta from which a search sets out, shape ``(parameters,)``, float64.
        spread: How far about it a search looks first, in units of theta.
    """

    @property
    def start(self) -> Tensor: ...  # noqa: D102

    @property
    def spread(self) -> float: ...  # noqa: D102

    def __call__(self, parameters: Tensor) -> Tensor:
        """Return x_T, ``(*batch, *image)``, for parameters ``(*batch, parameters)``."""
        ...


class CoefficientBasis:
    r"""Fixed noise n with a band of its spectral coefficients replaced by the parameters.

    .. math:: x_T(\theta) = n + W_B^T (\theta - W_B n)

    with :math:`W_B` the rows of an orthonormal transform that have the band's frequencies. For
    :math:`\theta \sim N(0, 1)` and white n, x_T is white noise of unit variance; at
    :math:`\theta = 0` the band is empty.

    Args:
        noise: n, of unit variance, ``(*image)``; x_T has its type and device.
        num_coefficients: Width of the band, at least 1.
        num_skipped: Coefficients of still lower frequency that stay as they are.
        transform: ``"cosine"`` or ``"fourier"``, see ``SpectralTransform``.

    Raises:
        ValueError: A band that the image doesn't have, or an unknown transform.
    """

    spread = 1.0

    def __init__(
        self,
        noise: Tensor,
        num_coefficients: int,
        *,
        num_skipped: int = 0,
        transform: TransformName = "cosine",
    ) -> None:
        if num_coefficients < 1 or not 0 <= num_skipped <= noise.numel() - num_coefficients:
            raise ValueError(
                f"CoefficientBasis: an image of {noise.numel()} pixels has no band of "
                f"{num_coefficients} coefficients after {num_skipped}"
            )
        self._transform = SpectralTransform(noise.shape, transform)
        order = self._transform.frequencies.flatten().argsort(stable=True)
        self._band = order[num_skipped : num_skipped + num_coefficients].to(noise.device)
        self._coefficients = self._transform.forward(noise).flatten()
        self.start = torch.zeros(num_coefficients, dtype=torch.float64)

    def __call__(self, parameters: Tensor) -> Tensor:
        """Return x_T, ``(*batch, *image)``, for parameters ``(*batch, num_coefficients)``."""
        batch = _batch_of(parameters, self.start)
        all_coefficients = self._coefficients.expand(*batch, -1)
        band = self._band.expand(*batch, -1)
        replaced = all_coefficients.scatter(-1, band, parameters.to(all_coefficients))
        return self._transform.inverse(replaced.reshape(*batch, *self._transform.image_shape))


class RadialSpectrum:
    r"""Fixed noise n whose amplitude in each band of radial frequency is a parameter.

    .. math:: x_T(\theta) = \sum_b \theta_b\, W_b^T W_b n

    :math:`\theta = 1` is the noise itself, for which the exact ODE draws a sample of the
    posterior; :math:`\theta = 0` is x_T = 0, which for a Gaussian posterior gives its mean. The
    search sets out half-way.

    Args:
        noise: n, of unit variance, ``(*image)``; x_T has its type and device.
        num_bands: Bands of equal width from 0 to the highest frequency, at least 1.
        transform: ``"cosine"`` or ``"fourier"``, see ``SpectralTransform``.

    Raises:
        ValueError: No bands, bands without a coefficient, or an unknown transform.
    """

    spread = 0.5

    def __init__(
        self, noise: Tensor, num_bands: int, *, transform: TransformName = "cosine"
    ) -> None:
        if num_bands < 1:
            raise ValueError(f"RadialSpectrum: expected at least 1 band, got {num_bands}")
        self._transform = SpectralTransform(noise.shape, transform)
        frequencies = self._transform.frequencies
        relative = frequencies / frequencies.max().clamp(min=torch.finfo(frequencies.dtype).tiny)
        # the highest frequency is the upper end of the last band
        bands = (relative * num_bands).long().clamp(max=num_bands - 1)
        if (counts := bands.flatten().bincount(minlength=num_bands)).min() == 0:
            raise ValueError(
                f"RadialSpectrum: {num_bands} bands are too many for {tuple(noise.shape)}, which "
                f"has {counts.tolist()} coefficients in them"
            )
        self._bands = bands.to(noise.device)
        self._coefficients = self._transform.forward(noise)
        self.start = torch.full((num_bands,), 0.5, dtype=torch.float64)

    def __call__(self, parameters: Tensor) -> Tensor:
        """Return x_T, ``(*batch, *image)``, for parameters ``(*batch, num_bands)``."""
        _batch_of(parameters, self.start)
        amplitudes = parameters.to(self._coefficients)[..., self._bands]
        return self._transform.inverse(amplitudes * self._coefficients)


def _batch_of(parameters: Tensor, start: Tensor) -> torch.Size:
    if parameters.shape[-1:] != start.shape:
        raise ValueError(
            f"parameters: expected trailing shape {tuple(start.shape)}, got "
            f"{tuple(parameters.shape)}"
        )
    return parameters.shape[:-1]
