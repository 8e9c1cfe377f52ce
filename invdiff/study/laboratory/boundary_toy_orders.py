"""How fast each integrator nears the exact image of a boundary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from invdiff.priors import GaussianMixturePrior
from invdiff.priors.denoiser import half_range
from invdiff.rng import derive_generator
from invdiff.study.laboratory.boundary_toy_problem import GaussianToy
from invdiff.study.scripted import Arrays
from invdiff.superres.exact import ExactConditional
from invdiff.superres.grids import Grid
from invdiff.superres.ode import SuperResolutionOde
from operators import GaussianNoise, Matrix

__all__ = ["OrderProblem", "fitted_order", "gaussian_problem", "mixture_problem"]

# the adaptive solver ends at this share of the smallest posterior deviation, then denoises once
_LAST, _TOLERANCE = 1e-6, 1e-11
# of the measurements of the mixture
_NOISE = 0.3


@dataclass(frozen=True)
class OrderProblem:
    """Boundaries, measurements and the images that the ODE makes of them without error.

    Args:
        denoiser: Exact.
        boundaries: ``(batch, dims)``.
        measurements: ``(batch, measured)``.
        images: h, ``(batch, dims)``.
        sigma_max: Where it starts, in half data ranges.
    """

    denoiser: ExactConditional
    boundaries: Tensor
    measurements: Tensor
    images: Tensor
    sigma_max: float

    def errors(self, method: str, calls: Sequence[int], grid: Grid, sigma_min: float) -> Arrays:
        """Return the error after each number of network calls, over the spread of the images.

        Returns:
            "errors": root mean square over that of h(x_T, y) - E[x | y], ``(counts,)``.
        """
        spread = (self.images - self.denoiser.posterior_mean(self.measurements)).norm()
        errors = []
        for count in calls:
            ode = SuperResolutionOde(
                self.denoiser,
                method,
                num_calls=count,
                grid=grid,
                sigma_max=self.sigma_max,
                sigma_min=sigma_min,
            )
            image = ode(self.boundaries, self.measurements)
            errors.append(float((image - self.images).norm() / spread))
        return {"errors": np.array(errors)}


def gaussian_problem(toy: GaussianToy, batch: int, sigma_max: float, seed: int) -> OrderProblem:
    """Return the toy with its images in closed form."""
    generator = derive_generator(seed, "order gaussian")
    y = toy.pairs(batch, generator).measurements
    x_T = torch.randn(y.shape, generator=generator, dtype=y.dtype)
    denoiser = toy.denoiser()
    images = toy.exact_image(x_T, y, sigma_max * half_range(denoiser))
    return OrderProblem(denoiser, x_T, y, images, sigma_max)


def mixture_problem(batch: int, sigma_max: float, seed: int) -> OrderProblem:
    """Return three Gaussians in five dimensions, seen in three, with images by an adaptive solver.

    The solver is SciPy's explicit Runge-Kutta method of order 8 in log sigma: none of ours.
    """
    generator = derive_generator(seed, "order mixture")

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    covariances = torch.tensor([0.5, 0.1, 0.2], dtype=torch.float64).reshape(-1, 1, 1)
    weights = torch.tensor([0.3, 0.4, 0.3], dtype=torch.float64)
    prior = GaussianMixturePrior(weights, normal(3, 5), covariances * torch.eye(5))
    operator, noise = Matrix(normal(3, 5)), GaussianNoise(_NOISE)
    y = noise.sample(operator(prior.sample(batch, generator=generator)), generator=generator)
    x_T, denoiser = normal(batch, 5), ExactConditional(prior, operator, _NOISE)
    images = _adaptive(denoiser, x_T, y, sigma_max * half_range(denoiser))
    return OrderProblem(denoiser, x_T, y, images, sigma_max)


def fitted_order(calls: NDArray[Any], errors: NDArray[Any]) -> float:
    """Return minus the slope of log error against log calls over the last half of the counts."""
    half = len(calls) // 2
    return -float(np.polyfit(np.log(calls[half:]), np.log(errors[half:]), 1)[0])


def _adaptive(denoiser: ExactConditional, x_T: Tensor, y: Tensor, sigma_max: float) -> Tensor:
    """Integrate dx / d log sigma = x - D(x, sigma, y)."""
    from scipy.integrate import solve_ivp

    def slope(t: float, flat: NDArray[Any]) -> NDArray[Any]:
        x = torch.from_numpy(flat).reshape(x_T.shape)
        sigma = torch.tensor(math.exp(t), dtype=x.dtype)
        return np.asarray((x - denoiser(x, sigma, y)).flatten())

    smallest = float(torch.linalg.eigvalsh(denoiser.covariances).min()) ** 0.5
    last = _LAST * smallest
    start = (denoiser.center(y) + sigma_max * x_T).flatten().numpy()
    span = (math.log(sigma_max), math.log(last))
    found = solve_ivp(slope, span, start, method="DOP853", rtol=_TOLERANCE, atol=_TOLERANCE)
    x = torch.from_numpy(found.y[:, -1]).reshape(x_T.shape)
    return denoiser(x, torch.tensor(last, dtype=x.dtype), y)
