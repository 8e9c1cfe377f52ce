from __future__ import annotations

import math

import pytest
import torch

from invdiff.interpolants.bridge_process import BridgeProcess, predict_from_denoiser
from invdiff.interpolants.bridge_sampler import sample_bridge
from invdiff.interpolants.ddbm import (
    DiffusionBridge,
    VarianceExplodingDiffusion,
    VariancePreservingDiffusion,
)
from invdiff.interpolants.gammas import BrownianGamma
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.paths import LinearPath
from invdiff.interpolants.sde import integrate_sde
from invdiff.priors.gaussian import GaussianPrior
from tests.invdiff.interpolants.impulse_law import GaussianPair, impulse_law

EXACT = {"rtol": 1e-10, "atol": 1e-10}
X0 = torch.tensor([0.7, -0.2], dtype=torch.float64)
DIFFUSIONS = [
    VarianceExplodingDiffusion(1.7),
    VariancePreservingDiffusion(),
    VariancePreservingDiffusion(0.1, 20.0),
]
LOGIT = 14.0
INNER = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)


def predictor(bridge):
    mean, covariance = GaussianPair().given(X0)
    return predict_from_denoiser(GaussianPrior(mean, covariance), bridge, X0, sigma_max=1e9)


@pytest.mark.parametrize("diffusion", DIFFUSIONS, ids=str)
def test_the_bridge_ends_in_both_images(diffusion):
    c = DiffusionBridge(diffusion).at(torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(c.alpha, c.alpha.new_tensor([1.0, 0.0]), **EXACT)
    torch.testing.assert_close(c.beta, c.beta.new_tensor([0.0, 1.0]), **EXACT)
    torch.testing.assert_close(c.gamma, c.gamma.new_zeros(2), **EXACT)
    assert bool(c.gamma_product.isfinite().all())


@pytest.mark.parametrize("diffusion", DIFFUSIONS, ids=str)
def test_the_coefficients_are_the_published_ones(diffusion):
    # Zhou et al. 2024, equation 7, with SNR = a^2 / sigma^2
    u = 1 - INNER
    p, end = diffusion.at(u), diffusion.at(torch.ones_like(u))
    ratio = p.ratio / end.ratio  # SNR at the end over SNR at u
    c = DiffusionBridge(diffusion).at(INNER)
    torch.testing.assert_close(c.alpha, ratio * p.scale / end.scale, **EXACT)
    torch.testing.assert_close(c.beta, p.scale * (1 - ratio), **EXACT)
    torch.testing.assert_close(c.gamma**2, p.scale**2 * p.ratio * (1 - ratio), **EXACT)


@pytest.mark.parametrize("diffusion", DIFFUSIONS, ids=str)
def test_derivatives_are_those_of_the_coefficients(diffusion):
    bridge = DiffusionBridge(diffusion)

    def derivative(name):
        t = INNER.clone().requires_grad_()
        value = getattr(bridge.at(t), name)
        return torch.autograd.grad(value.sum(), t)[0]

    c = bridge.at(INNER)
    torch.testing.assert_close(c.alpha_dot, derivative("alpha"), **EXACT)
    torch.testing.assert_close(c.beta_dot, derivative("beta"), **EXACT)
    torch.testing.assert_close(c.gamma_dot, derivative("gamma"), **EXACT)
    torch.testing.assert_close(c.gamma_product, c.gamma * c.gamma_dot, **EXACT)


def test_a_vp_diffusion_keeps_the_variance_and_has_its_coefficients():
    u = torch.linspace(0, 1, 11, dtype=torch.float64)
    p = VariancePreservingDiffusion(0.1, 2.0).at(u)
    torch.testing.assert_close(p.scale**2 * (1 + p.ratio), torch.ones_like(u), **EXACT)
    torch.testing.assert_close(
        VariancePreservingDiffusion(0.1, 2.0).squared_diffusion(u), 0.1 + 1.9 * u, **EXACT
    )


@pytest.mark.parametrize("diffusion", DIFFUSIONS, ids=str)
def test_the_law_solves_the_equation_of_the_conditioned_diffusion(diffusion):
    # with u = 1 - t: dx = (f x + g^2 h) du + g dW moves mean and variance of x given both ends
    bridge, x1 = DiffusionBridge(diffusion), torch.tensor([-0.4, 1.1], dtype=torch.float64)
    for t in INNER:
        c, p, g2 = bridge.at(t), diffusion.at(1 - t), diffusion.squared_diffusion(1 - t)
        f, mean = p.scale_dot / p.scale, c.alpha * X0 + c.beta * x1
        mean_dot = -(c.alpha_dot * X0 + c.beta_dot * x1)
        torch.testing.assert_close(mean_dot, f * mean + g2 * bridge.pull(mean, X0, t), **EXACT)
        slope = bridge.pull(mean + 1, X0, t) - bridge.pull(mean, X0, t)
        variance_dot = 2 * (f + g2 * slope) * c.gamma**2 + g2
        torch.testing.assert_close(
            (-2 * c.gamma_product).expand(2), variance_dot, rtol=1e-8, atol=1e-8
        )


@pytest.mark.parametrize("diffusion", DIFFUSIONS, ids=str)
def test_the_pull_is_the_gradient_of_the_density_of_the_end(diffusion):
    bridge, t = DiffusionBridge(diffusion), torch.tensor(0.3, dtype=torch.float64)
    p, end = diffusion.at(1 - t), diffusion.at(torch.ones_like(t))
    x = torch.tensor([0.5, 0.1], dtype=torch.float64, requires_grad=True)
    growth = end.scale / p.scale
    variance = end.scale**2 * (end.ratio - p.ratio)
    law = torch.distributions.Normal(growth * x, variance.sqrt())
    expected = torch.autograd.grad(law.log_prob(X0).sum(), x)[0]
    torch.testing.assert_close(bridge.pull(x.detach(), X0, t), expected, **EXACT)


def test_a_ve_bridge_is_a_brownian_bridge_in_the_time_of_its_variance():
    bridge, brownian = (
        DiffusionBridge(VarianceExplodingDiffusion(1.7)),
        TwoSided(LinearPath(), BrownianGamma(1.7**2)),
    )
    c, expected = bridge.at(INNER), brownian.at(1 - (1 - INNER) ** 2)
    for name in ("alpha", "beta", "gamma"):
        torch.testing.assert_close(getattr(c, name), getattr(expected, name), **EXACT)


@pytest.mark.parametrize("diffusion", DIFFUSIONS, ids=str)
def test_ode_and_sde_are_the_published_ones(diffusion):
    # in u: dx = (f x - g^2 (s / 2 - h)) du and dx = (f x - g^2 (s - h)) du + g dW
    bridge = DiffusionBridge(diffusion)
    process = BridgeProcess(bridge, predictor(bridge), X0)
    x = torch.tensor([[0.4, 0.9], [-1.0, 0.2]], dtype=torch.float64)
    for t in INNER:
        p, g2 = diffusion.at(1 - t), diffusion.squared_diffusion(1 - t)
        s, h, f = process.score(x, t), bridge.pull(x, X0, t), p.scale_dot / p.scale
        ode = f * x - g2 * (s / 2 - h)
        sde = f * x - g2 * (s - h)
        b, epsilon = process.velocity(x, t), bridge.epsilon(t)
        torch.testing.assert_close(b, -ode, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(b + epsilon * s, -sde, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("diffusion", DIFFUSIONS, ids=str)
def test_the_score_of_the_bridge_is_that_of_its_gaussian_law(diffusion):
    bridge, (mean, covariance) = DiffusionBridge(diffusion), GaussianPair().given(X0)
    process = BridgeProcess(bridge, predictor(bridge), X0)
    x = torch.tensor([[0.4, 0.9]], dtype=torch.float64)
    for t in INNER:
        c = bridge.at(t)
        law = GaussianPrior(
            c.alpha * X0 + c.beta * mean,
            c.beta**2 * covariance + c.gamma**2 * torch.eye(2, dtype=torch.float64),
        )
        y = x.clone().requires_grad_()
        expected = torch.autograd.grad(law.log_prob(y).sum(), y)[0]
        torch.testing.assert_close(process.score(x, t), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("diffusion", DIFFUSIONS[1:], ids=str)
def test_the_bridge_without_its_end_is_a_diffusion_at_another_time(diffusion):
    # (x_t - alpha x0) / (beta^2 + gamma^2)^(1/2) is what a VP diffusion has where its a / sigma
    # is beta / gamma, whatever that diffusion's schedule
    c = DiffusionBridge(diffusion).at(INNER)
    room = (c.beta**2 + c.gamma**2).sqrt()
    a, sigma = c.beta / room, c.gamma / room
    torch.testing.assert_close(a**2 + sigma**2, torch.ones_like(a), **EXACT)
    # find the time of that diffusion: log(1 + nu) = beta_min u + slope u^2 / 2
    plain = VariancePreservingDiffusion(0.1, 20.0)
    target, slope = ((sigma / a) ** 2).log1p(), 19.9
    u = (-0.1 + (0.01 + 2 * slope * target).sqrt()) / slope
    torch.testing.assert_close(plain.at(u).scale, a, **EXACT)
    # so its denoiser, fed with that input, is the guess of the bridge
    mean, covariance = GaussianPair().given(X0)
    denoiser, x = GaussianPrior(mean, covariance), torch.tensor([[0.4, 0.9]]).double()
    for i, t in enumerate(INNER):
        scaled = (x - c.alpha[i] * X0) / room[i]
        p = plain.at(u[i])
        diffusion_guess = denoiser(scaled / p.scale, p.ratio.sqrt())
        guess = predictor(DiffusionBridge(diffusion))(x, t)
        torch.testing.assert_close(guess, diffusion_guess, rtol=1e-9, atol=1e-9)


def sampled(kind, diffusion, num_steps):
    bridge = DiffusionBridge(diffusion)
    predict, process = predictor(bridge), BridgeProcess(bridge, predictor(bridge), X0)
    angles = time_grid(num_steps, 0.0, 1.0) * math.pi / 2
    # the noise begins as the root of t: steps in proportion to the distance from both ends
    times = torch.linspace(-LOGIT, LOGIT, num_steps + 1, dtype=torch.float64).sigmoid()
    first = torch.stack([times.new_zeros(()), times[0]])

    def run(x, noise):
        if kind == "bridge":
            return sample_bridge(predict, bridge, x, angles.sin() ** 2, noise=noise)
        x = sample_bridge(predict, bridge, x, first, noise=noise)
        if kind == "ode":
            return integrate_ode(process.velocity, x, times)
        return integrate_sde(process, x, times, epsilon=bridge.epsilon, noise=noise)

    calls = {"bridge": num_steps, "ode": 1, "sde": num_steps + 1}[kind]
    got_mean, got = impulse_law(run, X0, calls)
    mean, covariance = GaussianPair().given(X0)
    return float((got_mean - mean).norm() + (got - covariance).norm())


@pytest.mark.parametrize("kind", ["bridge", "ode", "sde"])
@pytest.mark.parametrize("diffusion", DIFFUSIONS[:2], ids=str)
def test_samplers_reach_the_law_given_the_degraded_image(kind, diffusion):
    coarse, fine = sampled(kind, diffusion, 50), sampled(kind, diffusion, 200)
    assert fine < 0.35 * coarse
    assert fine < 0.02


def test_bad_input_raises():
    with pytest.raises(ValueError, match="sigma_max"):
        VarianceExplodingDiffusion(0.0)
    with pytest.raises(ValueError, match="beta_max"):
        VariancePreservingDiffusion(0.1, -1.0)
