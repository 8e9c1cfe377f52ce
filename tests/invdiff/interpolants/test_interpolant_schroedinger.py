from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import sqrtm

from invdiff.interpolants.integrators import time_grid
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.schroedinger_gaussian import (
    GaussianSchroedingerBridge,
    bures_distance,
)
from invdiff.interpolants.sde import integrate_sde
from invdiff.rng import derive_generator
from tests.invdiff.interpolants.impulse_law import impulse_law

EXACT = {"rtol": 1e-10, "atol": 1e-10}
KW = {"dtype": torch.float64}
MEAN0, MEAN1 = torch.tensor([0.5, -1.0], **KW), torch.tensor([-0.3, 1.2], **KW)
# they do not commute
COV0 = torch.tensor([[1.0, 0.5], [0.5, 0.8]], **KW)
COV1 = torch.tensor([[0.4, -0.2], [-0.2, 1.5]], **KW)
VARIANCES = [0.1, 0.6, 2.0]


def bridge(variance=0.6):
    return GaussianSchroedingerBridge(MEAN0, COV0, MEAN1, COV1, variance)


def joint(b):
    top = torch.cat([COV0, b.coupling.cross], 1)
    return torch.cat([top, torch.cat([b.coupling.cross.T, COV1], 1)])


@pytest.mark.parametrize("variance", VARIANCES)
def test_the_coupling_solves_the_schroedinger_system(variance):
    # the density of the pair over that of the Brownian motion is f(x0) g(x1): the precision of the
    # joint law has the off-diagonal block -I / sigma^2
    b = bridge(variance)
    precision = torch.linalg.inv(joint(b))
    torch.testing.assert_close(
        precision[:2, 2:], -torch.eye(2, **KW) / variance, rtol=1e-9, atol=1e-9
    )
    assert torch.linalg.eigvalsh(joint(b))[0] > 0


def test_the_ends_are_those_given():
    b = bridge()
    for t, mean, covariance in ((0.0, MEAN0, COV0), (1.0, MEAN1, COV1)):
        t = torch.tensor(t, **KW)
        torch.testing.assert_close(b.marginal(t)[0], mean, **EXACT)
        torch.testing.assert_close(b.marginal(t)[1], covariance, **EXACT)


def test_the_drift_is_the_velocity_and_half_the_variance_of_the_score():
    b, x = bridge(), torch.tensor([[0.3, 0.2], [-1.0, 2.0]], **KW)
    for t in torch.linspace(0.0, 1.0, 6, **KW):
        expected = b.velocity(x, t) + b.epsilon(t) * b.score(x, t)
        torch.testing.assert_close(b.drift(x, t), expected, **EXACT)


@pytest.mark.parametrize("variance", VARIANCES)
def test_the_sde_of_the_interpolant_has_the_closed_covariances_and_the_coupling(variance):
    # equations of the moments of dX = (b + epsilon s) dt + (2 epsilon)^(1/2) dW, solved by scipy
    b = bridge(variance)
    zero, eye = torch.zeros(1, 2, **KW), torch.eye(2, **KW)

    def moments(t, y):
        t, y = torch.tensor(t, **KW), torch.tensor(y, **KW)
        mean, covariance, with_start = y[:2], y[2:6].reshape(2, 2), y[6:].reshape(2, 2)

        def drift(x):
            return b.velocity(x, t) + b.epsilon(t) * b.score(x, t)

        a = (drift(eye) - drift(zero)).T
        mean_dot = drift(mean.unsqueeze(0))[0]
        covariance_dot = a @ covariance + covariance @ a.T + 2 * b.epsilon(t) * eye
        return torch.cat([mean_dot, covariance_dot.flatten(), (with_start @ a.T).flatten()])

    start = torch.cat([MEAN0, COV0.flatten(), COV0.flatten()])
    times = np.linspace(0, 1, 5)
    solved = solve_ivp(moments, (0, 1), start, t_eval=times, rtol=1e-10, atol=1e-12)
    for t, y in zip(torch.tensor(times), torch.tensor(solved.y.T), strict=True):
        torch.testing.assert_close(y[:2], b.marginal(t)[0], rtol=0, atol=1e-7)
        torch.testing.assert_close(y[2:6].reshape(2, 2), b.marginal(t)[1], rtol=0, atol=1e-7)
    torch.testing.assert_close(y[6:].reshape(2, 2), b.coupling.cross, rtol=0, atol=1e-7)


def sampled_covariance(num_steps, epsilon_scale=1.0):
    b = bridge()
    times = time_grid(num_steps, 0.0, 1.0)

    def epsilon(t):
        return epsilon_scale * b.epsilon(t)

    def run(x, noise):
        return integrate_sde(b, x, times, epsilon=epsilon, noise=noise)

    # all of the noise, and the start as its own two impulses
    mean, from_noise = impulse_law(run, MEAN0, num_steps)
    offsets = torch.stack([torch.zeros(2, **KW), *torch.linalg.cholesky(COV0).T])
    end = integrate_sde(
        b, MEAN0 + offsets, times, epsilon=epsilon, noise=lambda: torch.zeros(3, 2, **KW)
    )
    answers = end[1:] - end[0]
    covariance = from_noise + answers.T @ answers
    cross = torch.linalg.cholesky(COV0) @ answers
    return mean, covariance, cross


def test_simulated_paths_reach_the_end_and_the_coupling_within_one_percent():
    # the law of Euler-Maruyama is computed, not drawn
    b = bridge()
    mean, covariance, cross = sampled_covariance(400)
    assert (mean - MEAN1).norm() < 1e-9
    assert (covariance - COV1).norm() < 0.01 * COV1.norm()
    assert (cross - b.coupling.cross).norm() < 0.01 * b.coupling.cross.norm()


def test_other_amounts_of_noise_keep_the_ends_but_not_the_coupling():
    b = bridge()
    _, covariance, cross = sampled_covariance(400, epsilon_scale=3.0)
    assert (covariance - COV1).norm() < 0.02 * COV1.norm()
    assert (cross - b.coupling.cross).norm() > 0.2 * b.coupling.cross.norm()


def test_drawn_paths_have_the_covariances_of_the_closed_form():
    b, count = bridge(), 20000
    generator = derive_generator(0, "paths")
    x0 = b.coupling.draw(count, generator).x0
    noise = torch.Generator().manual_seed(5)

    def draw():
        return torch.randn(count, 2, generator=noise, **KW)

    errors = []

    def check(i, t, x):
        if (i + 1) % 25 == 0:
            exact = b.marginal(t)[1]
            errors.append(float((torch.cov(x.T) - exact).norm() / exact.norm()))

    integrate_sde(b, x0, time_grid(100, 0.0, 1.0), epsilon=b.epsilon, noise=draw, callback=check)
    # four and a half standard errors of 20000 draws: the covariance of two numbers has three
    # entries with a relative error of about (2 / n)^(1/2)
    assert max(errors) < 4.5 * (2 / count) ** 0.5


def test_draws_of_the_coupling_have_its_covariance(generator):
    b = bridge()
    draw = b.coupling.draw(100000, generator)
    got = torch.cov(torch.cat([draw.x0, draw.x1], 1).T)
    assert (got - joint(b)).norm() < 0.02 * joint(b).norm()


@pytest.mark.parametrize("variance", [1e-2, 1e-3, 1e-4])
def test_without_noise_it_is_the_optimal_transport(variance):
    b = bridge(variance)
    root = torch.tensor(np.real(sqrtm(COV0.numpy())), **KW)
    middle = torch.tensor(np.real(sqrtm((root @ COV1 @ root).numpy())), **KW)
    inverse = torch.linalg.inv(root)
    transport = inverse @ middle @ inverse  # x1 - m1 = T (x0 - m0)
    assert (b.coupling.cross - COV0 @ transport).norm() < variance
    square = float((MEAN1 - MEAN0) @ (MEAN1 - MEAN0)) + bures_distance(COV0, COV1) ** 2
    pair_cost = float(torch.trace(COV0 + COV1 - 2 * b.coupling.cross))
    assert pair_cost == pytest.approx(bures_distance(COV0, COV1) ** 2, abs=4 * variance)
    # the energy approaches half of it up to sigma^2 log sigma^2
    assert b.energy() == pytest.approx(square / 2, abs=3 * variance * abs(np.log(variance)))


def test_the_distance_of_commuting_gaussians_is_that_of_their_roots():
    a, b = torch.tensor([1.0, 4.0], **KW), torch.tensor([9.0, 0.25], **KW)
    expected = float(((a.sqrt() - b.sqrt()) ** 2).sum()) ** 0.5
    assert bures_distance(torch.diag(a), torch.diag(b)) == pytest.approx(expected, rel=1e-12)


def test_the_energy_is_the_relative_entropy_to_the_brownian_motion():
    # chain rule: the entropy of the pair to that of the Brownian motion is all there is
    for variance in VARIANCES:
        b = bridge(variance)
        reference = torch.cat(
            [
                torch.cat([COV0, COV0], 1),
                torch.cat([COV0, COV0 + variance * torch.eye(2, **KW)], 1),
            ]
        )
        pair = torch.distributions.MultivariateNormal(torch.cat([MEAN0, MEAN1]), joint(b))
        brownian = torch.distributions.MultivariateNormal(torch.cat([MEAN0, MEAN0]), reference)
        entropy = torch.distributions.kl_divergence(pair, brownian)
        assert b.energy() / variance == pytest.approx(float(entropy), rel=1e-7)


def test_paths_do_not_depend_on_the_batch():
    b = bridge()

    def run(count):
        x0 = MEAN0.expand(count, 2)
        noise = SampleNoise(torch.Generator().manual_seed(1), count, x0)
        return integrate_sde(b, x0, time_grid(5, 0.0, 1.0), epsilon=b.epsilon, noise=noise)

    torch.testing.assert_close(run(5)[:2], run(2), **EXACT)


def test_bad_input_raises():
    with pytest.raises(ValueError, match="shapes"):
        GaussianSchroedingerBridge(MEAN0, COV0, MEAN1, torch.eye(3, **KW), 1.0)
    with pytest.raises(ValueError, match="variance"):
        GaussianSchroedingerBridge(MEAN0, COV0, MEAN1, COV1, 0.0)
    with pytest.raises(ValueError, match="semidefinite"):
        GaussianSchroedingerBridge(MEAN0, -COV0, MEAN1, COV1, 1.0)
