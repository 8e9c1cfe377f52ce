"""What a guided sampler adds to the score."""

from __future__ import annotations

from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, half_range
from invdiff.samplers.guided import GuidedSampler, Scale
from invdiff.theory.chapter.laws import tensor

__all__ = ["guidance_of"]


def guidance_of(
    sampler: GuidedSampler, prior: GaussianPrior, likelihood: Likelihood, x: Tensor, sigma: float
) -> Tensor:
    """Return the guidance of a sampler at noisy images x, ``(count, pixels)``."""
    scale = Scale(half_range(prior), likelihood.norm() ** 2)
    return sampler.guidance(x, tensor(sigma), likelihood, prior, scale).score
