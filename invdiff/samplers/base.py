"""What samplers take, give and report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Streams

__all__ = [
    "Callback",
    "Generators",
    "Progress",
    "Sampler",
    "Samples",
    "check_problem",
    "clipped",
    "denoised",
    "equal_log_weights",
    "karras_sigmas",
    "start_image",
]

Generators = torch.Generator | Sequence[torch.Generator]


class Progress(NamedTuple):
    """One step as a callback sees it; everything stays on the device.

    Args:
        step: From 0 to ``num_steps - 1``.
        num_steps: Steps in all.
        sigma: Noise level of the step in the units of the image, 0-dimensional or per sample.
        misfit: Residual over noise, shape ``(num_samples, *problems)``; NaN without a likelihood.
        image: The present estimate, ``(num_samples, *problems, *image_shape)``.
    """

    step: int
    num_steps: int
    sigma: Tensor
    misfit: Tensor
    image: Tensor


Callback = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Samples:
    """Weighted samples of the image given the measurement.

    Args:
        values: Shape ``(num_samples, *problems, *image_shape)``.
        log_weights: Shape ``(num_samples, *problems)``, normalised over the samples.
        info: Diagnostics of the method.
    """

    values: Tensor
    log_weights: Tensor
    info: dict[str, Any] = field(default_factory=dict)

    def mean(self) -> Tensor:
        """Return the weighted mean, shape ``(*problems, *image_shape)``."""
        return (self._weights() * self.values).sum(0)

    def std(self) -> Tensor:
        """Return the weighted standard deviation, real; 0 for a single sample.

        Equal weights give the usual unbiased variance: it is divided by 1 - sum w^2.
        """
        weights, offset = self._weights(), self.values - self.mean()
        free = (1 - (weights**2).sum(0)).clamp(min=torch.finfo(weights.dtype).tiny)
        return ((weights * offset.abs() ** 2).sum(0) / free).sqrt()

    def _weights(self) -> Tensor:
        num_dims = self.values.ndim - self.log_weights.ndim
        return expand_right(self.log_weights.softmax(0), num_dims)


class Sampler(Protocol):
    """A method with its hyper-parameters: a frozen dataclass."""

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Draw samples; the denoiser is in the physical units of the likelihood."""
        ...


def karras_sigmas(num_steps: int, sigma_max: float, sigma_min: float, rho: float = 7.0) -> Tensor:
    r"""Return the noise levels of :cite:t:`karras2022`, eq. 5, decreasing; float64.

    .. math:: \sigma_i = \bigl(\sigma_{max}^{1/\rho} + \tfrac{i}{N - 1}
        (\sigma_{min}^{1/\rho} - \sigma_{max}^{1/\rho})\bigr)^\rho

    Raises:
        ValueError: ``0 < sigma_min < sigma_max`` doesn't hold, an infinite level, fewer than 2
            steps, or a rho that is not positive.
    """
    if num_steps < 2 or not 0 < sigma_min < sigma_max < math.inf or not 0 < rho < math.inf:
        raise ValueError(
            f"sigmas: expected 0 < sigma_min < sigma_max, num_steps >= 2 and rho > 0, "
            f"got {sigma_min}, {sigma_max}, {num_steps} and {rho}"
        )
    ramp = torch.linspace(0, 1, num_steps, dtype=torch.float64)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return (high + ramp * (low - high)) ** rho


def check_problem(likelihood: Likelihood, denoiser: Denoiser) -> float:
    """Return half the data range, or refuse a prior that doesn't fit the operator.

    Raises:
        ValueError: Other shapes, complex images with a real prior, or an infinite data range.
    """
    shape, expected = denoiser.image_shape, likelihood.image_shape
    if shape is not None and shape != expected:
        raise ValueError(
            f"prior: has images of shape {shape}, the operator takes {expected}: "
            "use another prior or another grid"
        )
    return half_range(denoiser)


def denoised(denoiser: Denoiser, x: Tensor, sigma: Tensor, *, clip: bool) -> Tensor:
    """Return the denoiser's mean, its real part clamped to the data range if asked."""
    mean = denoiser(x, sigma.to(x.dtype.to_real()))
    return clipped(mean, denoiser.data_range) if clip else mean


def clipped(x: Tensor, data_range: tuple[float, float]) -> Tensor:
    """Return the image, its real part clamped to the data range."""
    if x.is_complex():
        return torch.complex(x.real.clamp(*data_range), x.imag)
    return x.clamp(*data_range)


def equal_log_weights(x: Tensor, streams: Streams) -> Tensor:
    """Return the normalised log weights of samples that all count the same."""
    return x.real.new_zeros(streams.batch_shape).log_softmax(0)


def start_image(likelihood: Likelihood, denoiser: Denoiser, num_samples: int) -> Tensor:
    """Return a regularised least-squares image, ``(num_samples, *problems, *image_shape)``.

    The middle of the data range, corrected by the data where they say more than a Gaussian of
    half the range; that is a coarse image, and every sampler adds noise to it.
    """
    half, low = half_range(denoiser), denoiser.data_range[0]
    dtype = likelihood.weighted_adjoint.dtype
    middle = torch.full_like(likelihood.weighted_adjoint, low + half, dtype=dtype)
    x = likelihood.proximal(middle, half**2, num_steps=20, tolerance=0)
    return x.expand(num_samples, *x.shape).clone()
