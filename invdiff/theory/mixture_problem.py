"""The mixture of 25 Gaussians seen through a random matrix, whose posterior is known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import SharedCovarianceMixture
from invdiff.rng import derive_generator
from operators import GaussianNoise, Matrix

__all__ = ["MixtureProblem", "mixture_problem", "mode_distance_growth"]

_SPACING = 8.0


@dataclass(frozen=True, eq=False)
class MixtureProblem:
    """One instance; float64 unless asked.

    Args:
        prior: 25 components of unit covariance on a grid with the spacing 8.
        likelihood: A measurement of one draw of the prior.
        posterior: The exact answer.
    """

    prior: SharedCovarianceMixture
    likelihood: Likelihood
    posterior: SharedCovarianceMixture

    def single(self) -> MixtureProblem:
        """Return prior and data in float32, for samplers in many dimensions; the answer stays."""
        old = self.likelihood
        prior = SharedCovarianceMixture(self.prior.weights.float(), self.prior.means.float(), 1.0)
        likelihood = Likelihood(old.operator, old.noise, old.y.float())
        return MixtureProblem(prior, likelihood, self.posterior)


def mixture_problem(num_dims: int, num_measured: int, seed: int) -> MixtureProblem:
    r"""Return an instance of the benchmark of :cite:t:`cardoso2024`.

    The means are :math:`(-8 i, -8 j, -8 i, -8 j, \dots)` for i, j from -2 to 2, the weights
    squares of standard normals. A is a matrix of standard normals whose singular values were
    replaced by uniforms on (0, 1); the noise has a uniform share of the largest.

    Args:
        num_dims: Numbers in x, even.
        num_measured: Numbers in y, at most as many.
        seed: Of the weights, A, the noise level and y.

    Raises:
        ValueError: Dimensions that don't fit.
    """
    if num_dims < 2 or num_dims % 2 or not 1 <= num_measured <= num_dims:
        raise ValueError(
            "mixture problem: expected an even number of dimensions and at most as many "
            f"measurements, got {num_dims} and {num_measured}"
        )
    generator = derive_generator(seed, "mixture", num_dims, num_measured)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def uniform(count: int) -> Tensor:
        return torch.rand(count, generator=generator, dtype=torch.float64)

    steps = -_SPACING * torch.arange(-2, 3, dtype=torch.float64)
    means = torch.cartesian_prod(steps, steps).repeat(1, num_dims // 2)
    prior = SharedCovarianceMixture(normal(len(means)) ** 2, means, 1.0)
    left, _, right = torch.linalg.svd(normal(num_measured, num_dims), full_matrices=False)
    values = uniform(num_measured).sort(descending=True).values
    noise = GaussianNoise(float(uniform(1) * values[0]))
    operator = Matrix((left * values) @ right)
    clean = operator(prior.sample(1, generator=generator)[0])
    likelihood = Likelihood(operator, noise, noise.sample(clean, generator=generator))
    return MixtureProblem(prior, likelihood, prior.posterior(likelihood))


def mode_distance_growth(num_dims: int) -> float:
    """Return how much farther apart the modes are than in 8 dimensions, at the same data range.

    Samplers state noise levels in half data ranges, which don't know the dimension: the highest
    level has to grow by this factor.
    """
    return math.sqrt(num_dims / 8)
