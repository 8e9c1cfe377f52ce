"""Decoupled annealing: denoise, sample the image given the data, noise it again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import conjugate_gradient, expand_right
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Streams, problem_streams
from invdiff.samplers.base import (
    Generators,
    check_problem,
    denoised,
)
from invdiff.samplers.descent import Descent

__all__ = ["DAPS", "DAPSInfo", "DAPSState", "sample_gaussian_posterior"]

Inner = Literal["langevin", "exact"]
Solver = Literal["euler", "heun"]


class DAPSState(NamedTuple):
    """The noisy image x0 + sigma n, and the squared norm of W^(1/2) A."""

    x: Tensor
    streams: Streams
    squared_norm: Tensor


class DAPSInfo(NamedTuple):
    """The end of the ODE, and a sample around it given the data."""

    denoised: Tensor
    corrected: Tensor


@dataclass(frozen=True)
class DAPS(Descent):
    r"""Decouple the noise levels: each image depends on the one before by its mean only.

    Algorithm 1 of :cite:t:`zhang2025`: at each level of a falling grid

    .. math:: \hat x_0 = \text{the end of } dx/d\sigma = (x - D) / \sigma \text{ from } x_i, \qquad
        x_{0|y} \sim p(y | x_0)\, N(x_0; \hat x_0, \sigma_i^2), \qquad
        x_{i+1} = x_{0|y} + \sigma_{i+1} n

    The sample in the middle is drawn by Langevin steps from :math:`\hat x_0`,

    .. math:: x \leftarrow x + h\, \Bigl(\nabla \log p(y | x) + \frac{\hat x_0 - x}{\sigma_i^2}
        \Bigr) + \sqrt{2 h}\, n, \qquad h = \frac{c}{\|W^{1/2} A\|^2 + \sigma_i^{-2}}

    or, for ``inner="exact"``, all at once from the Gaussian surrogate of the likelihood. The
    last :math:`x_{0|y}` is the result.

    Targets, when the grid is fine and ends near 0, :math:`p(y | x)\, p(x)^{1/2}` instead of the
    posterior: one round moves x by :math:`\sigma^2 (\nabla \log p(y | x) + \kappa \nabla \log
    p(x))` under noise of variance :math:`2 \sigma^2`, and the ODE has :math:`\kappa = 1/2` (a
    little more with few Euler steps). So a Gaussian prior's variance is doubled, and unobserved
    pixels spread by a factor of up to :math:`\sqrt 2`. ``num_ode_steps=1``, where the end is D
    itself, has :math:`\kappa = 1`, and with the exact inner sample the posterior is the limit of
    :math:`\sigma_{min} \to 0`. Otherwise the last level adds up to its own spread, and short
    Langevin runs lag behind in what the data hardly see.

    Args:
        num_steps: Noise levels.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of both grids of noise levels.
        num_ode_steps: Steps of the ODE at each level.
        ode_sigma_min: Where the last of them begins, in half data ranges; it ends at 0.
        solver: "euler", one network call a step, or "heun", two but for the last.
        inner: "langevin" or "exact".
        num_langevin: Langevin steps at each level.
        step_size: c, the step over that at which the fastest direction is reached at once; below 2.
        num_cg: Conjugate gradient steps of the exact sample where no SVD is known.
        assumed_sigma: Standard deviation in the units of y to assume in place of the noise's own, a
            temperature; None for the true one. As published 0.01 where the noise is 0.05.
        clip: Whether D is clamped to the data range.

    Raises:
        ValueError: A number out of its range or a word that isn't known.
    """

    num_steps: int = 200
    sigma_max: float = 100.0
    sigma_min: float = 0.1
    rho: float = 7.0
    num_ode_steps: int = 5
    ode_sigma_min: float = 0.01
    solver: Solver = "euler"
    inner: Inner = "langevin"
    num_langevin: int = 100
    step_size: float = 0.1
    num_cg: int = 30
    assumed_sigma: float | None = None
    clip: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver not in get_args(Solver) or self.inner not in get_args(Inner):
            raise ValueError(f"DAPS: unknown solver {self.solver} or inner {self.inner}")
        if not (0 < self.ode_sigma_min < self.sigma_min and 0 < self.step_size < 2):
            raise ValueError(
                "DAPS: expected 0 < ode_sigma_min < sigma_min and 0 < step_size < 2, got "
                f"{self.ode_sigma_min}, {self.sigma_min} and {self.step_size}"
            )
        if min(self.num_ode_steps, self.num_langevin, self.num_cg) < 1:
            raise ValueError(
                "DAPS: num_ode_steps, num_langevin and num_cg must be positive, got "
                f"{self.num_ode_steps}, {self.num_langevin}, {self.num_cg}"
            )
        if self.assumed_sigma is not None and not self.assumed_sigma > 0:
            raise ValueError(f"DAPS: assumed_sigma must be positive, got {self.assumed_sigma}")

    def init(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
    ) -> DAPSState:
        """Return the middle of the data range under noise of the highest level."""
        half = check_problem(likelihood, denoiser)
        streams = problem_streams(generator, num_samples, likelihood.batch_shape)
        noise = streams.normal(likelihood.image_shape, likelihood.weighted_adjoint)
        x = sum(denoiser.data_range) / 2 + half * self.sigma_max * noise
        return DAPSState(x, streams, likelihood.norm() ** 2)

    def step(
        self,
        state: DAPSState,
        sigma: Tensor,
        sigma_next: Tensor,
        likelihood: Likelihood,
        denoiser: Denoiser,
    ) -> tuple[DAPSState, DAPSInfo]:
        """Go from one noise level to the next, in units of the image; 0 ends without noise."""
        mean = self._ode_end(state.x, sigma, denoiser)
        radius, power = sigma.to(state.squared_norm), self._power(likelihood)
        if self.inner == "exact":
            x = sample_gaussian_posterior(
                likelihood, mean, radius, state.streams, power=power, num_cg=self.num_cg
            )
        else:
            x = self._langevin(state, mean, radius, power, likelihood)
        noise = state.streams.normal(likelihood.image_shape, x)
        return state._replace(x=x + sigma_next.to(radius) * noise), DAPSInfo(mean, x)

    def _ode_end(self, x: Tensor, sigma: Tensor, denoiser: Denoiser) -> Tensor:
        ramp = torch.linspace(0, 1, self.num_ode_steps, dtype=sigma.dtype, device=sigma.device)
        high = sigma ** (1 / self.rho)
        low = (half_range(denoiser) * self.ode_sigma_min) ** (1 / self.rho)
        levels = (high + ramp * (low - high)) ** self.rho
        for s, s_next in pairwise(levels):
            slope = (x - denoised(denoiser, x, s, clip=self.clip)) / s.to(x.dtype.to_real())
            change = (s_next - s).to(x.dtype.to_real())
            if self.solver == "heun":
                y = x + change * slope
                end = denoised(denoiser, y, s_next, clip=self.clip)
                slope = (slope + (y - end) / s_next.to(x.dtype.to_real())) / 2
            x = x + change * slope
        # Euler's step to 0 is the denoiser itself
        return denoised(denoiser, x, levels[-1], clip=self.clip)

    def _power(self, likelihood: Likelihood) -> Tensor:
        """Return the exponent of the likelihood, 1 for the true noise."""
        if self.assumed_sigma is None:
            return likelihood.precision.new_ones(())
        if likelihood.precision.ndim:
            raise ValueError(
                "DAPS: assumed_sigma replaces noise of one level, got "
                f"{type(likelihood.noise).__name__}"
            )
        return 1 / (self.assumed_sigma**2 * likelihood.precision)

    def _langevin(
        self,
        state: DAPSState,
        mean: Tensor,
        radius: Tensor,
        power: Tensor,
        likelihood: Likelihood,
    ) -> Tensor:
        h = self.step_size / (power * state.squared_norm + radius**-2)
        h = expand_right(h, len(likelihood.image_shape))
        x = mean
        for _ in range(self.num_langevin):
            noise = state.streams.normal(likelihood.image_shape, x)
            pull = power * likelihood.score(x) + (mean - x) / radius**2
            x = x + h * pull + (2 * h).sqrt() * noise
        return x


def sample_gaussian_posterior(
    likelihood: Likelihood,
    mean: Tensor,
    radius: Tensor,
    streams: Streams,
    *,
    power: Tensor,
    num_cg: int,
) -> Tensor:
    r"""Sample x given the data under the prior N(mean, radius^2), by solving a noisy problem.

    With fresh noise in the mean and in the data, the solution of

    .. math:: (r^{-2} + p A^H W A)\, x = r^{-2} (\bar x + r n_1) + p A^H W t
        + p^{1/2} A^H W^{1/2} n_2

    has the covariance :math:`(r^{-2} + p A^H W A)^{-1}`. Exact with a known SVD and noise of one
    level, up to the error of the conjugate gradients otherwise.

    Args:
        likelihood: Whose Gaussian surrogate is taken.
        mean: Shape ``(*streams.batch_shape, *image_shape)``.
        radius: r, in the units of the image, 0-dimensional.
        streams: One per sample.
        power: p, 0-dimensional.
        num_cg: Conjugate gradient steps.
    """
    start = mean + radius * streams.normal(likelihood.image_shape, mean)
    white = streams.normal(
        likelihood.target.shape[len(likelihood.batch_shape) :], likelihood.target
    )
    shaken = likelihood.operator.adjoint((power * likelihood.precision).sqrt() * white)
    force = radius**2 * (power * likelihood.quadratic_score(start) + shaken)
    factor, operator = power * radius**2, likelihood.spectral_operator
    if operator is not None:
        s = operator.singular_values.to(radius)
        pulled = operator.Vh(force) / (1 + factor * likelihood.precision * s**2)
        return start + operator.V(pulled)
    return start + conjugate_gradient(
        lambda z: z + factor * likelihood.weighted_normal(z),
        force,
        num_dims=len(likelihood.image_shape),
        num_steps=num_cg,
        tolerance=0,
    )
