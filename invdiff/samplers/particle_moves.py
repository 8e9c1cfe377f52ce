"""One step of the published particle system, whole or in its parts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.linalg import inner
from invdiff.priors.denoiser import Denoiser
from invdiff.rng import Population
from invdiff.samplers import tilted_gaussian
from invdiff.samplers.particle_data import DataTerm, LinearData

__all__ = ["Levels", "corrected", "euler_step", "prior_score", "split_step", "tilted_start"]


class Levels(NamedTuple):
    """Noise levels and weights of the likelihood before and after a step."""

    sigma: Tensor
    sigma_next: Tensor
    alpha: Tensor
    alpha_next: Tensor

    @property
    def du(self) -> Tensor:
        """The time of the step, in squared units of the image."""
        return self.sigma.double() ** 2 - self.sigma_next.double() ** 2


def euler_step(
    x: Tensor,
    noise: Tensor,
    score: Tensor,
    c: float,
    kappa: float,
    levels: Levels,
    data: DataTerm,
    probes: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Take the step as it is published, for any split."""
    du, alpha = levels.du, levels.alpha
    slope = alpha.to(x.real) * data.gradient(x)
    drift = (1 + c) / 2 * score - kappa * c * slope
    moved = x + du.to(x.real) * drift + (c * du).sqrt().to(x.real) * noise
    along = dot(score, slope, data)
    rate = -along / 2
    if c > 0 and kappa != 0.5:
        excess = dot(slope, slope, data) - alpha * data.laplacian(x, probes) - along
        rate = rate + (kappa - 0.5) * c * excess
    return moved, du * rate - (levels.alpha_next - alpha) * data.energy(x)


def split_step(
    x: Tensor,
    noise: Tensor,
    score: Tensor,
    c: float,
    kappa: float,
    levels: Levels,
    data: DataTerm,
    probes: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Take its three parts one after the other, all with the score of the start."""
    du, alpha = levels.du, levels.alpha_next
    change = levels.alpha * data.energy(x)
    x = x + du.to(x.real) / 2 * score
    if c > 0 and kappa != 0.5:
        # this part moves particles and mends their weights: it does nothing to Q
        time = (kappa - 0.5) * c * alpha * du
        nearer, log_det = data.contract(x, time, probes)
        change = change + log_det + dot(score, nearer - x, data)
        x = nearer
    change = change - alpha * data.energy(x)
    if c > 0:
        x = data.langevin(x, score, alpha, c * du / 2, noise)
    return x, change


def corrected(
    x: Tensor,
    noise: Tensor,
    levels: Levels,
    data: DataTerm,
    denoiser: Denoiser,
    diffusion: float,
    *,
    exact: bool,
) -> Tensor:
    """Take a step of Langevin dynamics of the next level's target."""
    time, alpha = diffusion * levels.du / 2, levels.alpha_next
    # at no noise the prior has no score: its place is taken by the lowest level's
    level = torch.where(levels.sigma_next > 0, levels.sigma_next, levels.sigma)
    score = prior_score(denoiser, x, level)
    if exact:
        return data.langevin(x, score, alpha, time, noise)
    pull = score - alpha.to(x.real) * data.gradient(x)
    return x + time.to(x.real) * pull + (2 * time).sqrt().to(x.real) * noise


def tilted_start(
    data: LinearData, middle: float, variance: float, source: Population, num_samples: int
) -> tuple[Tensor, Tensor]:
    r"""Draw from N(middle, variance) :math:`e^{-\mu}`, and return the log of its mass."""
    likelihood = data.likelihood
    centre = torch.full_like(data.like, middle)
    pull = likelihood.quadratic_score(centre)
    shift = tilted_gaussian.solve(likelihood, 1.0, 1 / variance, pull, num_cg=data.num_cg)
    offset = tilted_gaussian.sample(
        likelihood, 1.0, 1 / variance, source, num_samples, num_cg=data.num_cg
    )
    log_mass = dot(pull, shift, data) / 2 - data.energy(centre)
    log_det = tilted_gaussian.log_determinant(likelihood, variance)
    return centre + shift + offset, log_mass if log_det is None else log_mass - log_det / 2


def prior_score(denoiser: Denoiser, x: Tensor, sigma: Tensor) -> Tensor:
    """Return the gradient of the log density of the prior under noise."""
    mean = denoiser(x, sigma.to(x.dtype.to_real()))
    return (mean - x) / sigma.to(x.dtype.to_real()) ** 2


def dot(u: Tensor, v: Tensor, data: DataTerm) -> Tensor:
    """Return Re <u, v> of each image, float64."""
    num_dims = len(data.image_shape)
    wide = torch.complex128 if u.is_complex() else torch.float64
    return inner(u.to(wide), v.to(wide), num_dims).reshape(u.shape[: u.ndim - num_dims])
