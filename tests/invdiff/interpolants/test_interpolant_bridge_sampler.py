from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from invdiff.interpolants.bridge_process import BridgeProcess, predict_from_denoiser
from invdiff.interpolants.bridge_sampler import bridge_kernel, sample_bridge
from invdiff.interpolants.gammas import (
    BrownianGamma,
    FoellmerGamma,
    NoGamma,
    QuadraticGamma,
    SineSquaredGamma,
)
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import OneSided, TwoSided
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.paths import LinearPath, PowerPath, TrigonometricPath
from invdiff.priors.gaussian import GaussianPrior
from tests.invdiff.interpolants.impulse_law import GaussianPair, impulse_law

EXACT = {"rtol": 1e-10, "atol": 1e-10}
# stands for infinite noise: what it leaves of the data is below rounding
SIGMA_MAX = 1e9
X0 = torch.tensor([0.7, -0.2], dtype=torch.float64)

INTERPOLANTS = [
    TwoSided(),
    TwoSided(LinearPath(), BrownianGamma(0.3)),
    TwoSided(LinearPath(), QuadraticGamma()),
    TwoSided(LinearPath(), SineSquaredGamma()),
    TwoSided(TrigonometricPath(), BrownianGamma(1.5)),
    TwoSided(PowerPath(2.0), FoellmerGamma(0.8)),
    OneSided(),
    OneSided(TrigonometricPath()),
]


def f64(value: float | list[float]) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=str)
@pytest.mark.parametrize("stochasticity", [0.0, 0.4, 1.0])
def test_steps_compose_to_the_marginal_given_both_ends(interpolant, stochasticity):
    # weights of x0 and x1 in the mean, and the variance, moved through random steps
    times = f64([0.0, 0.07, 0.2, 0.55, 0.8, 0.97, 1.0])
    start = interpolant.at(times[0])
    base, target, variance = start.alpha, start.beta, start.gamma**2
    for t, end in pairwise(times):
        kernel = bridge_kernel(interpolant, t, end, stochasticity)
        base, target = kernel.base + kernel.current * base, kernel.target + kernel.current * target
        variance = kernel.current**2 * variance + kernel.std**2
        c = interpolant.at(end)
        torch.testing.assert_close(base, c.alpha, **EXACT)
        torch.testing.assert_close(target, c.beta, **EXACT)
        torch.testing.assert_close(variance, c.gamma**2, **EXACT)


def test_one_long_step_is_two_short_ones_for_a_markov_bridge():
    t, middle, end = f64(0.2), f64(0.45), f64(0.9)
    first, second = bridge_kernel(TwoSided(), t, middle), bridge_kernel(TwoSided(), middle, end)
    whole = bridge_kernel(TwoSided(), t, end)
    torch.testing.assert_close(second.current * first.current, whole.current, **EXACT)
    torch.testing.assert_close(second.current * first.target + second.target, whole.target, **EXACT)
    torch.testing.assert_close(
        (second.current * first.std) ** 2 + second.std**2, whole.std**2, **EXACT
    )


def test_a_one_sided_step_is_that_of_ddim():
    # Song et al. 2021, equations 12 and 16, for x = (abar)^(1/2) x1 + (1 - abar)^(1/2) z
    interpolant, eta = OneSided(TrigonometricPath()), 0.6
    t, end = f64(0.3), f64(0.5)
    a, a_end = interpolant.at(t).beta ** 2, interpolant.at(end).beta ** 2
    sigma = eta * ((1 - a_end) / (1 - a) * (1 - a / a_end)).sqrt()
    kernel = bridge_kernel(interpolant, t, end, eta)
    torch.testing.assert_close(kernel.std, sigma, **EXACT)
    torch.testing.assert_close(kernel.current, ((1 - a_end - sigma**2) / (1 - a)).sqrt(), **EXACT)


def test_times_of_a_batch_give_the_kernels_of_its_members():
    t, end = f64([0.0, 0.3, 0.6]), f64([0.2, 0.35, 1.0])
    together = bridge_kernel(TwoSided(), t, end, 0.5)
    for i in range(3):
        alone = bridge_kernel(TwoSided(), t[i], end[i], 0.5)
        torch.testing.assert_close(
            torch.stack([c[i] for c in together]), torch.stack(list(alone)), **EXACT
        )


def predictor(interpolant):
    pair = GaussianPair()
    mean, covariance = pair.given(X0)
    return predict_from_denoiser(
        GaussianPrior(mean, covariance), interpolant, X0, sigma_max=SIGMA_MAX
    )


def law_error(interpolant, stochasticity, num_steps):
    # denser at both ends, where the fields change fast; equal steps lose a logarithm
    predict, angles = predictor(interpolant), time_grid(num_steps, 0.0, 1.0) * math.pi / 2
    times = angles.sin() ** 2

    def run(x, noise):
        return sample_bridge(
            predict, interpolant, x, times, stochasticity=stochasticity, noise=noise
        )

    mean, covariance = impulse_law(run, X0, num_steps)
    exact_mean, exact_covariance = GaussianPair().given(X0)
    return float((covariance - exact_covariance).norm()), float((mean - exact_mean).norm())


@pytest.mark.parametrize("interpolant", [INTERPOLANTS[i] for i in (0, 1, 4, 5)], ids=str)
@pytest.mark.parametrize("stochasticity", [0.3, 1.0])
def test_the_law_given_the_degraded_image_converges_with_the_steps(interpolant, stochasticity):
    coarse, mean = law_error(interpolant, stochasticity, 50)
    fine, fine_mean = law_error(interpolant, stochasticity, 200)
    assert max(mean, fine_mean) < 1e-8
    assert 0.2 < fine / coarse < 0.34  # order 1: a quarter at last
    assert fine < 0.015


def test_a_bridge_whose_noise_grows_no_faster_than_its_signal_cannot_start_in_a_point():
    interpolant = TwoSided(LinearPath(), QuadraticGamma())
    coarse, _ = law_error(interpolant, 0.3, 50)
    fine, _ = law_error(interpolant, 0.3, 200)
    assert fine > 0.7 * coarse > 0.02


def test_the_guess_of_the_clean_image_is_the_conditional_mean():
    # against the regression of x1 on (x_t, x0) from their joint covariance
    interpolant, t, pair = TwoSided(), f64(0.4), GaussianPair()
    c, x = interpolant.at(t), f64([[0.1, 0.9]])
    with_x = c.alpha * pair.cross.T + c.beta * pair.cov1
    xx = (
        c.alpha**2 * pair.cov0
        + c.beta**2 * pair.cov1
        + c.gamma**2 * torch.eye(2, dtype=torch.float64)
    )
    xx = xx + c.alpha * c.beta * (pair.cross + pair.cross.T)
    x_with_0 = c.alpha * pair.cov0 + c.beta * pair.cross.T
    joint = torch.cat([torch.cat([xx, x_with_0], 1), torch.cat([x_with_0.T, pair.cov0], 1)])
    mean = torch.cat([c.alpha * pair.mean0 + c.beta * pair.mean1, pair.mean0])
    gain = torch.cat([with_x, pair.cross.T], 1) @ torch.linalg.inv(joint)
    expected = pair.mean1 + gain @ (torch.cat([x[0], X0]) - mean)
    torch.testing.assert_close(predictor(interpolant)(x, t)[0], expected, **EXACT)


def test_the_ode_of_the_pinned_process_has_the_same_law():
    interpolant = TwoSided(LinearPath(), BrownianGamma(0.5))
    predict = predictor(interpolant)
    process = BridgeProcess(interpolant, predict, X0)
    # the noise begins as the root of t: steps in proportion to the distance from both ends
    times = torch.linspace(-14, 14, 601, dtype=torch.float64).sigmoid()
    first = torch.stack([times.new_zeros(()), times[0]])

    def run(x, noise):
        x = sample_bridge(predict, interpolant, x, first, noise=noise)
        return integrate_ode(process.velocity, x, times)

    mean, covariance = impulse_law(run, X0, 1)
    exact_mean, exact_covariance = GaussianPair().given(X0)
    torch.testing.assert_close(mean, exact_mean, rtol=0, atol=2e-3)
    torch.testing.assert_close(covariance, exact_covariance, rtol=0, atol=2e-3)


def test_without_latent_noise_a_step_is_one_of_the_ode_of_the_path():
    interpolant = TwoSided(LinearPath(), NoGamma())
    x, x0, x1 = f64([[0.2, 0.5]]), f64([[9.0, 9.0]]), f64([[1.0, -1.0]])
    kernel = bridge_kernel(interpolant, f64(0.2), f64(0.3), 0.5)
    assert kernel.std == 0
    torch.testing.assert_close(kernel.mean(x, x0, x1), x + 0.1 * (x1 - x) / 0.8, **EXACT)


def test_a_correction_replaces_the_guess_and_the_last_step_returns_it(generator):
    seen = []

    def correct(x1, t):
        seen.append(float(t))
        return torch.full_like(x1, 3.0)

    x0 = torch.zeros(4, 2, dtype=torch.float64)
    noise, times = SampleNoise(generator, 4, x0), time_grid(3, 0.0, 1.0)
    ends = []
    x = sample_bridge(
        lambda x, t: x,
        TwoSided(),
        x0,
        times,
        noise=noise,
        correct=correct,
        callback=lambda i, end, x: ends.append((i, float(end))),
    )
    torch.testing.assert_close(x, torch.full_like(x, 3.0))
    assert seen == times[:-1].tolist()
    assert ends == [(i, float(times[i + 1])) for i in range(3)]


def test_a_sample_does_not_depend_on_the_batch():
    def sample(count):
        noise = SampleNoise(torch.Generator().manual_seed(3), count, X0.expand(count, 2))
        start = X0.expand(count, 2)
        return sample_bridge(
            predictor(TwoSided()), TwoSided(), start, time_grid(5, 0.0, 1.0), noise=noise
        )

    assert torch.equal(sample(6)[:2], sample(2))


def test_the_dtype_of_the_image_is_kept(generator):
    x0 = torch.zeros(2, 1, 3, 3)
    noise = SampleNoise(generator, 2, x0)
    x = sample_bridge(lambda x, t: x, TwoSided(), x0, time_grid(3, 0.0, 1.0), noise=noise)
    assert x.dtype == torch.float32


def test_bad_input_raises():
    x0, zero = X0.expand(2, 2), f64(0.0)
    with pytest.raises(ValueError, match="stochasticity"):
        bridge_kernel(TwoSided(), zero, f64(0.5), 1.5)
    with pytest.raises(ValueError, match="t < end"):
        bridge_kernel(TwoSided(), f64(0.5), f64(0.5))
    with pytest.raises(ValueError, match="times from 0"):
        sample_bridge(lambda x, t: x, TwoSided(), x0, f64([0.1, 1.0]))
    with pytest.raises(ValueError, match="expected noise"):
        sample_bridge(lambda x, t: x, TwoSided(), x0, f64([0.0, 0.5, 1.0]), stochasticity=0.0)
    with pytest.raises(ValueError, match="sigma_max"):
        predict_from_denoiser(lambda x, t: x, TwoSided(), x0, sigma_max=0.0)
