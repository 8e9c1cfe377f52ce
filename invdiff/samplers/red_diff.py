"""RED-diff: variational inference with a diffusion prior as the regulariser."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right
from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import Streams, problem_streams
from invdiff.samplers.base import (
    Callback,
    Generators,
    Progress,
    Samples,
    check_problem,
    denoised,
    equal_log_weights,
    karras_sigmas,
    start_image,
)
from operators import SVDOperator

__all__ = ["RedDiff", "RedDiffInfo", "RedDiffState", "Weighting", "snr_weight"]

Weighting = Literal["constant", "sqrt", "linear", "square", "log", "clip", "inverse_square"]
Order = Literal["descending", "ascending", "random"]
Start = Literal["least_squares", "pinv"]
MakeOptimizer = Callable[[list[Tensor]], torch.optim.Optimizer]


class RedDiffState(NamedTuple):
    """The mean of the variational Gaussian, and what moves it."""

    mu: Tensor
    streams: Streams
    optimizer: torch.optim.Optimizer | None


class RedDiffInfo(NamedTuple):
    """The denoised image of a step and its noise level in the units of the image."""

    denoised: Tensor
    sigma: Tensor


def snr_weight(weighting: Weighting, sigma: Tensor) -> Tensor:
    r"""Return f(sigma), sigma being :math:`1/\mathrm{SNR}` of :cite:t:`mardani2024`.

    The weightings of the paper's ablation, and the "inverse_square" that goes with the proximal
    step: :math:`f(\sigma) / \sigma = \sigma^{-3}`, between the :math:`\sigma^{-2}` of a Gaussian
    model of the denoising error and the :math:`\sigma^{-4}` of a linear one.
    """
    weights: dict[str, Callable[[Tensor], Tensor]] = {
        "constant": torch.ones_like,
        "sqrt": torch.sqrt,
        "linear": torch.clone,
        "square": torch.square,
        "log": torch.log1p,
        "clip": lambda s: s.clamp(max=1),
        "inverse_square": lambda s: s**-2,
    }
    return weights[weighting](sigma)


@dataclass(frozen=True)
class RedDiff:
    r"""Find the image that the data and a denoiser agree on :cite:p:`mardani2024`.

    At one noise level after the other, the objective in mu is

    .. math:: \tfrac12 \|t - A \mu\|_W^2 + \lambda f(\sigma)\,
        \Bigl\langle \mathrm{sg}\Bigl[\frac{\mu - D(\mu + \sigma n, \sigma)}{\sigma}\Bigr],
        \mu \Bigr\rangle

    sg stops the gradient. The data enter with their true precision W, and the prior in units of
    half the denoiser's data range, so one :math:`\lambda` serves all operators and noise levels.

    Without an optimiser each step is proximal: the bracket is the gradient of a quadratic about D,
    whose minimiser with the data term is found by conjugate gradients (or the SVD), and mu
    moves a share of the way there,

    .. math:: \mu \leftarrow \mu + r\,\Bigl(\arg\min_z \tfrac12 \|t - A z\|_W^2 +
        \frac{\lambda f(\sigma)}{2 \sigma} \|z - D\|^2 - \mu\Bigr)

    Dispersion replaces mu on the right of both formulas by a draw :math:`\mu + \sigma_{x_0} n` of
    the variational Gaussian, and mu takes the same step.

    Targets one image, where the data's pull and the mean of the prior's over the noise balance:
    a mode rather than the posterior. The spread of several samples is that of the algorithm's own
    noise. With a prior N(0.5, 0.2^2), 50 % of the pixels and sigma_y = 0.1 the defaults give 0.29
    (observed) and 0.33 (unobserved) of the posterior's standard deviation.

    Args:
        num_steps: Noise levels, one network call each.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        order: "descending" or "ascending", or "random" levels of the grid, drawn for each sample.
        weighting: f, see ``snr_weight``.
        regularization: lambda.
        optimizer: Makes a torch optimiser of ``[mu]`` (in half data ranges), such as
            ``lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.9, 0.99))``; None for the proximal
            step. One that mixes entries, such as LBFGS, makes problems of a batch depend on each
            other.
        relaxation: r, of the proximal step.
        num_cg: Conjugate gradient steps of each proximal step, started at D.
        clip: Whether D is clamped to the data range.
        dispersion: Standard deviation sigma_x0 of the variational Gaussian, in half data ranges.
        start: First mu: the regularised "least_squares" image, or "pinv", the pseudo-inverse
            :math:`A^+ t` of an operator with a known SVD.

    Raises:
        ValueError: A number out of its range or a word that isn't known.
    """

    num_steps: int = 120
    sigma_max: float = 1.0
    sigma_min: float = 0.015
    rho: float = 7.0
    order: Order = "descending"
    weighting: Weighting = "inverse_square"
    regularization: float = 0.03
    optimizer: MakeOptimizer | None = None
    relaxation: float = 0.25
    num_cg: int = 8
    clip: bool = True
    dispersion: float = 0.0
    start: Start = "least_squares"

    def __post_init__(self) -> None:
        karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        if self.weighting not in get_args(Weighting) or self.order not in get_args(Order):
            raise ValueError(f"RedDiff: unknown weighting {self.weighting} or order {self.order}")
        if self.start not in get_args(Start) or not 0 <= self.dispersion < math.inf:
            raise ValueError(
                f"RedDiff: unknown start {self.start}, or dispersion {self.dispersion} below 0"
            )
        if not (self.regularization > 0 and 0 < self.relaxation <= 1 and self.num_cg > 0):
            raise ValueError(
                "RedDiff: expected regularization > 0, 0 < relaxation <= 1 and num_cg > 0, got "
                f"{self.regularization}, {self.relaxation}, {self.num_cg}"
            )

    def sample(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
        callback: Callback | None = None,
    ) -> Samples:
        """Run from independent noise for each sample of each problem, in one batch.

        Args:
            likelihood: One problem or a batch of them.
            denoiser: Prior in the units of the likelihood's image.
            num_samples: Restarts of each problem.
            generator: One, or one per problem; see ``problem_streams``.
            callback: Called after each step.

        Raises:
            ValueError: The prior doesn't fit the operator, or that has no pseudo-inverse to start
                from.
        """
        state = self.init(likelihood, denoiser, num_samples, generator=generator)
        grid = karras_sigmas(self.num_steps, self.sigma_max, self.sigma_min, self.rho)
        grid = grid.to(state.mu.device)
        for i in range(self.num_steps):
            level = grid[self.num_steps - 1 - i if self.order == "ascending" else i]
            if self.order == "random":
                level = grid[state.streams.uniform_integers(self.num_steps, grid.device)]
            state, info = self.step(state, level, likelihood, denoiser)
            if callback is not None:
                misfit = likelihood.residual_over_noise(state.mu)
                callback(Progress(i, self.num_steps, info.sigma, misfit, state.mu))
        return Samples(state.mu, equal_log_weights(state.mu, state.streams))

    def init(
        self,
        likelihood: Likelihood,
        denoiser: Denoiser,
        num_samples: int,
        *,
        generator: Generators,
    ) -> RedDiffState:
        """Return the first image and one random stream a sample."""
        half = check_problem(likelihood, denoiser)
        streams = problem_streams(generator, num_samples, likelihood.batch_shape)
        if self.start == "pinv":
            mu = _pseudo_inverse(likelihood, num_samples)
        else:
            mu = start_image(likelihood, denoiser, num_samples)
        if self.optimizer is None:
            return RedDiffState(mu, streams, None)
        scaled = (mu / half).requires_grad_()
        return RedDiffState(mu, streams, self.optimizer([scaled]))

    def step(
        self, state: RedDiffState, level: Tensor, likelihood: Likelihood, denoiser: Denoiser
    ) -> tuple[RedDiffState, RedDiffInfo]:
        """Move mu once at a noise level in half data ranges, 0-dimensional or per sample."""
        half, mu = half_range(denoiser), state.mu
        sigma = half * level
        spread = expand_right(sigma, mu.ndim - sigma.ndim)
        drawn = mu
        if self.dispersion:
            drawn = mu + half * self.dispersion * state.streams.normal(likelihood.image_shape, mu)
        noise = state.streams.normal(likelihood.image_shape, mu)
        mean = denoised(denoiser, drawn + spread.to(noise) * noise, sigma, clip=self.clip)
        # weight of |z - D|^2 / 2, in half data ranges
        weight = self.regularization * snr_weight(self.weighting, level) / level
        if state.optimizer is None:
            z = likelihood.proximal(mean, half**2 / weight, num_steps=self.num_cg, tolerance=0)
            mu = mu + self.relaxation * (z - drawn)
        else:
            mu = _gradient_step(state.optimizer, drawn, mean, weight, likelihood, half)
        return state._replace(mu=mu), RedDiffInfo(mean, sigma)


def _pseudo_inverse(likelihood: Likelihood, num_samples: int) -> Tensor:
    operator = likelihood.operator
    if not isinstance(operator, SVDOperator):
        raise ValueError(
            f"RedDiff: start 'pinv' needs an operator with a known SVD, got "
            f"{type(operator).__name__}: use 'least_squares'"
        )
    x = operator.pinv(likelihood.target)
    return x.expand(num_samples, *x.shape).clone()


def _gradient_step(
    optimizer: torch.optim.Optimizer,
    mu: Tensor,
    mean: Tensor,
    weight: Tensor,
    likelihood: Likelihood,
    half: float,
) -> Tensor:
    (scaled,) = optimizer.param_groups[0]["params"]
    weight = expand_right(weight, mu.ndim - weight.ndim)
    prior = weight.to(mu.dtype.to_real()) * (mu - mean) / half
    scaled.grad = prior - half * likelihood.quadratic_score(mu)
    optimizer.step()
    return half * scaled.detach()
