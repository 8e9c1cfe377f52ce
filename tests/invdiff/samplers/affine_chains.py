"""What the samplers do under an isotropic Gaussian prior, where every step is affine.

In the basis of the right singular vectors each coordinate u = (V^T x)_i - m_i runs by itself,
u' = slope u + offset + noise n, so the mean and the variance of the chain are known exactly. The
steps here are written down from the published formulas, one coordinate at a time.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.samplers import karras_sigmas
from operators import GaussianNoise, Matrix

MEAN, SPREAD, SIGMA_Y = 0.5, 0.2, 0.1


class Chain(NamedTuple):
    mean: float
    var: float

    def moved(self, slope: float, offset: float, noise: float) -> Chain:
        return Chain(slope * self.mean + offset, slope**2 * self.var + noise**2)


class Setting(NamedTuple):
    """Eight coordinates: four observed ever less precisely, one by s = 0, three not at all."""

    likelihood: Likelihood
    prior: GaussianPrior
    basis: torch.Tensor
    y: list[float]
    level: list[float]


def setting(seed: int = 0) -> Setting:
    generator = torch.Generator().manual_seed(seed)
    kwargs = {"generator": generator, "dtype": torch.float64}
    left, _ = torch.linalg.qr(torch.randn(6, 6, **kwargs))
    basis, _ = torch.linalg.qr(torch.randn(8, 8, **kwargs))
    s = torch.tensor([4.0, 1.0, 0.5, 0.1, 0.0], dtype=torch.float64)
    operator = Matrix((left[:, :5] * s) @ basis[:, :5].T)
    x = MEAN + SPREAD * torch.randn(8, **kwargs)
    noise = GaussianNoise(SIGMA_Y)
    y = noise.sample(operator(x), generator=generator)
    centred = (left.T @ (y - operator(torch.full_like(x, MEAN))))[:4] / s[:4]
    prior = GaussianPrior(torch.full((8,), MEAN, dtype=torch.float64), SPREAD**2)
    level = [*(SIGMA_Y / s[:4]).tolist(), *[math.inf] * 4]
    return Setting(
        Likelihood(operator, noise, y), prior, basis, [*centred.tolist(), *[0.0] * 4], level
    )


def compare(samples: torch.Tensor, problem: Setting, chains: list[Chain]) -> None:
    """Assert that samples (count, 8) have the chains' mean and variance, within 4.5 errors."""
    count = len(samples)
    u = (samples - MEAN) @ problem.basis
    std = torch.tensor([c.var for c in chains], dtype=torch.float64).sqrt()
    mean = torch.tensor([c.mean for c in chains], dtype=torch.float64)
    # a direction without noise of its own is right up to rounding
    bound = 4.5 * std / count**0.5 + 1e-9
    assert ((u.mean(0) - mean).abs() < bound).all()
    assert ((u.std(0) - std).abs() < 4.5 * std / (2 * count) ** 0.5 + 1e-9).all()


def levels(sampler: object, prior: GaussianPrior) -> list[float]:
    """Noise levels in the units of the image, the last one 0."""
    low, high = prior.data_range
    grid = karras_sigmas(sampler.num_steps, sampler.sigma_max, sampler.sigma_min, sampler.rho)
    return [*((high - low) / 2 * grid).tolist(), 0.0]


def shrinkage(sigma: float) -> float:
    """The slope of D."""
    return SPREAD**2 / (SPREAD**2 + sigma**2)


def coarse_start(half: float, sigma: float, y: float, level: float) -> Chain:
    """``start_image`` under noise of the highest level."""
    return Chain(half**2 / (half**2 + level**2) * y, sigma**2)


def posterior(y: float, level: float) -> Chain:
    weight = SPREAD**2 / (SPREAD**2 + level**2)
    return Chain(weight * y, SPREAD**2 * (1 - weight))


def ddrm_chain(sampler: object, sigmas: list[float], y: float, level: float) -> Chain:
    eta, eta_b = sampler.eta, sampler.eta_b
    chain = Chain(0.0, sigmas[0] ** 2)
    if level <= sigmas[0]:
        chain = Chain(y, sigmas[0] ** 2 - level**2)
    for sigma, low in pairwise(sigmas):
        k, kept = shrinkage(sigma), (1 - eta**2) ** 0.5 * low
        if math.isinf(level):
            chain = chain.moved(k + kept * (1 - k) / sigma, 0.0, eta * low)
        elif low < level:
            chain = chain.moved(k * (1 - kept / level), kept * y / level, eta * low)
        else:
            rest = (low**2 - (eta_b * level) ** 2) ** 0.5
            chain = chain.moved(k * (1 - eta_b), eta_b * y, rest)
    return chain


def ddnm_chain(sampler: object, sigmas: list[float], half: float, y: float, level: float) -> Chain:
    chain = coarse_start(half, sigmas[0], y, level)
    length, repeats = sampler.travel_length, sampler.travel_repeats
    for first in range(0, len(sigmas) - 1, length):
        stretch = sigmas[first : first + length + 1]
        for again in range(repeats):
            if again:
                chain = chain.moved(1.0, 0.0, (stretch[0] ** 2 - stretch[-1] ** 2) ** 0.5)
            for sigma, low in pairwise(stretch):
                chain = ddnm_step(sampler, chain, sigma, low, y, level)
    return chain


def ddnm_step(
    sampler: object, chain: Chain, sigma: float, low: float, y: float, level: float
) -> Chain:
    eta, k = sampler.eta, shrinkage(sigma)
    if math.isinf(level):
        weight, gamma = 0.0, low
    elif sampler.noise_free:
        weight, gamma = 1.0, low
    else:
        weight = min(1.0, low / level)
        gamma = max(low**2 - weight**2 * level**2, 0.0) ** 0.5
    slope = k * (1 - weight) + gamma * (1 - eta**2) ** 0.5 * (1 - k) / sigma
    return chain.moved(slope, weight * y, gamma * eta)


def diffpir_chain(
    sampler: object, sigmas: list[float], half: float, y: float, level: float
) -> Chain:
    zeta = sampler.noise_fraction
    chain = coarse_start(half, sigmas[0], y, level)
    for sigma, low in pairwise(sigmas):
        tau = sigma**2 / sampler.regularization
        weight = tau / (tau + level**2)
        # the corrected image, and the noise that is left of x about it
        slope, offset = shrinkage(sigma) * (1 - weight), weight * y
        kept = low * (1 - zeta) ** 0.5 / sigma
        chain = chain.moved(slope + kept * (1 - slope), offset * (1 - kept), low * zeta**0.5)
    return chain


def dds_chain(
    sampler: object, sigmas: list[float], half: float, smallest: float, y: float, level: float
) -> Chain:
    """``smallest`` is the level of the largest singular value, 1 / L."""
    chain = coarse_start(half, sigmas[0], y, level)
    for sigma, low in pairwise(sigmas):
        tau = sampler.data_weight * smallest**2
        weight, k = tau / (tau + level**2), shrinkage(sigma)
        fresh = sampler.eta * low * (1 - (low / sigma) ** 2) ** 0.5
        kept = (low**2 - fresh**2) ** 0.5
        chain = chain.moved(k * (1 - weight) + kept * (1 - k) / sigma, weight * y, fresh)
    return chain


def daps_chain(
    sampler: object, sigmas: list[float], half: float, smallest: float, y: float, level: float
) -> Chain:
    chain = Chain(0.0, sigmas[0] ** 2)
    for sigma, low in pairwise(sigmas):
        chain = chain.moved(ode_slope(sampler, sigma, half), 0.0, 0.0)
        precision = sigma**-2 + level**-2
        if sampler.inner == "exact":
            chain = chain.moved(sigma**-2 / precision, level**-2 / precision * y, precision**-0.5)
        else:
            # h steps u <- (1 - h p) u + h (u0 / sigma^2 + y / level^2) + (2 h)^(1/2) n
            h = sampler.step_size / (smallest**-2 + sigma**-2)
            left = (1 - h * precision) ** sampler.num_langevin
            reached = (1 - left) / precision
            noise = math.sqrt(2 * h * (1 - left**2) / (1 - (1 - h * precision) ** 2))
            chain = chain.moved(left + reached * sigma**-2, reached * level**-2 * y, noise)
        chain = chain.moved(1.0, 0.0, low)
    return chain


def ode_slope(sampler: object, sigma: float, half: float) -> float:
    """What is left of u at the end of the ODE."""
    count, rho = sampler.num_ode_steps, sampler.rho
    floor = half * sampler.ode_sigma_min
    grid = karras_sigmas(count, sigma, floor, rho).tolist() if count > 1 else [sigma]
    u = 1.0
    for s, s_next in pairwise(grid):
        slope = (u - shrinkage(s) * u) / s
        if sampler.solver == "heun":
            end = u + (s_next - s) * slope
            slope = (slope + (end - shrinkage(s_next) * end) / s_next) / 2
        u = u + (s_next - s) * slope
    return shrinkage(grid[-1]) * u


def red_diff_chain(sampler: object, half: float, y: float, level: float) -> Chain:
    """The proximal step with f = 1 / sigma^2, from the regularised least-squares image."""
    grid = karras_sigmas(sampler.num_steps, sampler.sigma_max, sampler.sigma_min, sampler.rho)
    order = reversed(grid.tolist()) if sampler.order == "ascending" else grid.tolist()
    chain = coarse_start(half, 0.0, y, level)
    for s in order:
        tau = half**2 * s**3 / sampler.regularization
        weight, r = tau / (tau + level**2), sampler.relaxation
        inner = (1 - weight) * shrinkage(half * s)
        noise = math.hypot(inner * half * s, (inner - 1) * half * sampler.dispersion)
        chain = chain.moved(1 - r + r * inner, r * weight * y, r * noise)
    return chain
