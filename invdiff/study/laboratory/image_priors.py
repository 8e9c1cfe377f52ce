"""Priors of the images: a trained network, or a mixture of patches that is known exactly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import SharedCovarianceMixture
from invdiff.priors.denoiser import Denoiser
from invdiff.priors.gaussian import observation

__all__ = ["Counted", "evidence", "exact_samples", "patch_prior", "range_of"]

_STRIDE = 8
# patches with less contrast are air, or the inside of one tissue
_LEAST_STD = 0.04
# share of the patches' covariance that is noise about a patch, and white noise beside it
_BANDWIDTH, _WHITE = 0.25, 2.5e-4
_RANGE_DRAWS = 64


def patch_prior(
    slices: Tensor, size: int, num_patches: int, generator: torch.Generator
) -> SharedCovarianceMixture:
    r"""Return a smoothed bootstrap of patches: multimodal, and exact at every noise level.

    .. math:: p(x) = \frac1K \sum_k N\bigl(x;\, \bar x + \sqrt{1 - b}\,(x_k - \bar x),\,
        b\, S + \epsilon\bigr)

    with the mean and the covariance S of all patches, which it keeps but for
    :math:`\epsilon` (Silverman and Young 1987).

    Args:
        slices: Images from 0 to 1, (slices, height, width).
        size: Rows and columns of a patch.
        num_patches: K, drawn without replacement.
        generator: Draws them.
    """
    patches = slices.double().unfold(1, size, _STRIDE).unfold(2, size, _STRIDE)
    patches = patches.reshape(-1, size, size)
    patches = patches[patches.std((1, 2)) > _LEAST_STD]
    if len(patches) < num_patches:
        raise ValueError(f"num_patches: the slices hold {len(patches)}, got {num_patches}")
    mean = patches.mean(0)
    offsets = (patches - mean).flatten(1)
    covariance = _BANDWIDTH * offsets.mT @ offsets / len(offsets)
    chosen = torch.randperm(len(patches), generator=generator)[:num_patches]
    return SharedCovarianceMixture(
        torch.ones(num_patches, dtype=torch.float64),
        mean + math.sqrt(1 - _BANDWIDTH) * (patches[chosen] - mean),
        covariance + _WHITE * torch.eye(size**2, dtype=torch.float64),
    )


class Counted:
    """A denoiser in a data range of its own that counts how many images it is given.

    Args:
        denoiser: D.
        data_range: What samplers take for the range of the images.
    """

    def __init__(self, denoiser: Denoiser, data_range: tuple[float, float]) -> None:
        self.denoiser, self.data_range, self.num_calls = denoiser, data_range, 0

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """Trailing shape of x."""
        return self.denoiser.image_shape

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D(x, sigma)."""
        self.num_calls += x[..., 0, 0].numel()
        return self.denoiser(x, sigma)


def evidence(prior: SharedCovarianceMixture, problem: Likelihood) -> float:
    """Return log p(y) of one problem with white noise, exactly."""
    matrix, y, sigma = observation(prior.image_shape, prior.means, problem)
    spread = matrix @ prior.component_covariance() @ matrix.mT
    factor = torch.linalg.cholesky(spread + sigma**2 * torch.eye(len(y), dtype=y.dtype))
    residual = y - prior.means.flatten(1) @ matrix.mT
    white = torch.linalg.solve_triangular(factor, residual.mT, upper=False)
    log_det = factor.diagonal().log().sum() + len(y) / 2 * math.log(2 * math.pi)
    return float((prior.weights.log() - (white**2).sum(0) / 2).logsumexp(0) - log_det)


def exact_samples(
    prior: SharedCovarianceMixture,
    problem: Likelihood,
    num_samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Draw (num_samples, height, width) from p(x | y) of one problem."""
    return prior.posterior(problem).sample(num_samples, generator=generator)


def range_of(prior: SharedCovarianceMixture, generator: torch.Generator) -> tuple[float, float]:
    """Return values between which all but 0.2 % of the pixels of the prior's images lie."""
    pixels = prior.sample(_RANGE_DRAWS, generator=generator).flatten()
    low, high = pixels.quantile(torch.tensor([0.001, 0.999], dtype=pixels.dtype)).tolist()
    return low, high
