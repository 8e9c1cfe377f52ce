"""The score of every guided method on Gaussian priors, where each has a closed form."""

import itertools

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import ComplexPrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import DPS, MomentMatching, PiGDM
from invdiff.samplers.base import start_image
from invdiff.samplers.descent import kept_noise
from invdiff.samplers.guided import problem_scale
from operators import GaussianNoise, Mask, Matrix

N, SIGMA_Y = 5, 0.3
SIGMAS = [0.05, 0.5, 4.0]
METHODS = {
    "dps-norm": DPS(),
    "dps-annealed": DPS(guidance_kind="annealed"),
    "pigdm": PiGDM(prior_std=0.3),
    "moment-matching": MomentMatching(num_cg=4),
}


@pytest.fixture
def prior():
    distance = (torch.arange(N)[:, None] - torch.arange(N)).abs()
    mean = torch.linspace(-1, 1, N, dtype=torch.float64)
    return GaussianPrior(mean, 0.25 * torch.exp(-distance / 2.0).double())


@pytest.fixture
def likelihood(generator):
    matrix = torch.randn(3, N, generator=generator, dtype=torch.float64)
    y = torch.tensor([0.4, -1.0, 0.7], dtype=torch.float64)
    return Likelihood(Matrix(matrix), GaussianNoise(SIGMA_Y), y)


def evaluate(method, x, sigma, likelihood, prior, **kwargs):
    level = torch.tensor(sigma, dtype=torch.float64)
    return method.guidance(x, level, likelihood, prior, problem_scale(likelihood, prior), **kwargs)


def spread_of(name, matrix, covariance, sigma, scale):
    """Return what each method takes for A Cov(x0 | x) A^T; None if it has no such term."""
    if name == "moment-matching":
        inverse = torch.linalg.inv(covariance + sigma**2 * torch.eye(N))
        return matrix @ (covariance - covariance @ inverse @ covariance) @ matrix.T
    if name == "pigdm":
        v = (0.3 * scale.half) ** 2
        return sigma**2 * v / (sigma**2 + v) * matrix @ matrix.T
    return sigma**2 * SIGMA_Y**2 * scale.squared_norm * torch.eye(3, dtype=torch.float64)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("name", METHODS)
def test_score_of_a_gaussian_prior_is_the_closed_form(name, sigma, prior, likelihood, generator):
    x = torch.randn(7, N, generator=generator, dtype=torch.float64)
    guidance = evaluate(METHODS[name], x, sigma, likelihood, prior)
    covariance, matrix = prior.covariance(), likelihood.operator(torch.eye(N).double()).T
    jacobian = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(N))
    mean = prior.mean() + (x - prior.mean()) @ jacobian
    residual, scale = likelihood.y - mean @ matrix.T, problem_scale(likelihood, prior)
    if name == "dps-norm":
        length = residual.norm(dim=-1, keepdim=True) * SIGMA_Y * scale.squared_norm.sqrt()
        solved = residual / length
    else:
        noise = SIGMA_Y**2 * torch.eye(3).double()
        spread = spread_of(name, matrix, covariance, sigma, scale)
        solved = torch.linalg.solve(spread + noise, residual.T).T
    torch.testing.assert_close(guidance.denoised, mean)
    torch.testing.assert_close(guidance.score, solved @ matrix @ jacobian)


@pytest.mark.parametrize("name", METHODS)
def test_score_is_the_gradient_of_the_twist(name, prior, likelihood, generator):
    x = torch.randn(N, generator=generator, dtype=torch.float64)
    guidance = evaluate(METHODS[name], x[None], 0.5, likelihood, prior)
    step = 1e-5 * torch.eye(N, dtype=torch.float64)
    up, down = (evaluate(METHODS[name], x + s, 0.5, likelihood, prior) for s in (step, -step))
    slope = (up.log_twist - down.log_twist) / 2e-5
    torch.testing.assert_close(guidance.score[0], slope, rtol=1e-6, atol=1e-8)


def test_moment_matching_is_the_exact_score_of_the_noisy_posterior(prior, likelihood, generator):
    """Against the density of y given x, by automatic differentiation."""
    x = torch.randn(N, generator=generator, dtype=torch.float64, requires_grad=True)
    matrix = likelihood.operator(torch.eye(N).double()).T
    joint = prior.covariance() + 0.25 * torch.eye(N)
    gain = torch.linalg.solve(joint, prior.covariance()).T
    mean = prior.mean() + gain @ (x - prior.mean())
    left = prior.covariance() - gain @ prior.covariance()
    spread = matrix @ left @ matrix.T + SIGMA_Y**2 * torch.eye(3)
    density = torch.distributions.MultivariateNormal(matrix @ mean, spread)
    (exact,) = torch.autograd.grad(density.log_prob(likelihood.y), x)
    score = evaluate(METHODS["moment-matching"], x.detach()[None], 0.5, likelihood, prior).score
    torch.testing.assert_close(score[0], exact)


def test_row_sums_are_the_covariance_where_pixels_are_independent(generator):
    prior = GaussianPrior(torch.zeros(N, dtype=torch.float64), 0.2)
    operator = Mask(torch.tensor([True, False, True, True, False]))
    likelihood = Likelihood(operator, GaussianNoise(0.1), torch.ones(3, dtype=torch.float64))
    x = torch.randn(4, N, generator=generator, dtype=torch.float64)
    full, sums = (
        evaluate(MomentMatching(covariance=kind), x, 0.5, likelihood, prior)
        for kind in ("full", "row-sum")
    )
    torch.testing.assert_close(full.score, sums.score)
    torch.testing.assert_close(full.log_twist, sums.log_twist)


@pytest.mark.parametrize("name", METHODS)
def test_complex_images_are_two_real_ones(name, generator):
    real = GaussianPrior(torch.zeros(N, dtype=torch.float64), 0.04)
    prior = ComplexPrior(real, 0.2)
    mask = torch.tensor([True, False, True, True, False])
    y = torch.randn(3, generator=generator, dtype=torch.complex128)
    likelihood = Likelihood(Mask(mask, complex_valued=True), GaussianNoise(0.1), y)
    x = torch.randn(4, N, generator=generator, dtype=torch.complex128)
    guidance = evaluate(METHODS[name], x, 0.5, likelihood, prior)
    twice = Mask(torch.stack([mask, mask], -1))
    pair = Likelihood(twice, GaussianNoise(0.1), torch.view_as_real(y).flatten())
    flat = GaussianPrior(torch.zeros(N, 2, dtype=torch.float64), 0.04)
    expected = evaluate(METHODS[name], torch.view_as_real(x), 0.5, pair, flat)
    torch.testing.assert_close(torch.view_as_real(guidance.score), expected.score)
    torch.testing.assert_close(guidance.log_twist, expected.log_twist)


def test_norm_of_a_residual_of_zero_moves_nothing():
    prior = GaussianPrior(torch.zeros(N, dtype=torch.float64), 0.2)
    operator = Mask(torch.ones(N, dtype=torch.bool))
    likelihood = Likelihood(operator, GaussianNoise(0.1), torch.zeros(N, dtype=torch.float64))
    score = evaluate(DPS(), torch.zeros(1, N).double(), 0.5, likelihood, prior).score
    assert torch.equal(score, torch.zeros_like(score))


def test_norm_guidance_does_not_know_the_noise(prior, likelihood, generator):
    x = torch.randn(2, N, generator=generator, dtype=torch.float64)
    other = Likelihood(likelihood.operator, GaussianNoise(0.01), likelihood.y)
    shifts = [evaluate(DPS(), x, 0.5, problem, prior).score for problem in (likelihood, other)]
    torch.testing.assert_close(*shifts)


def test_norm_guidance_is_of_each_sample_alone(prior, likelihood, generator):
    """The published code takes the norm of the whole batch."""
    x = torch.randn(6, N, generator=generator, dtype=torch.float64)
    together = evaluate(DPS(), x, 0.5, likelihood, prior).score
    alone = torch.cat([evaluate(DPS(), v[None], 0.5, likelihood, prior).score for v in x])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("name", METHODS)
def test_chunks_change_nothing_and_gain_is_of_the_jacobian(name, prior, likelihood, generator):
    x = torch.randn(5, N, generator=generator, dtype=torch.float64)
    probe = torch.randn(5, N, generator=generator, dtype=torch.float64).sign()
    guidance = evaluate(METHODS[name], x, 0.5, likelihood, prior, probe=probe)
    method = type(METHODS[name])(**{**vars(METHODS[name]), "chunk_size": 2})
    for whole, part in zip(
        guidance, evaluate(method, x, 0.5, likelihood, prior, probe=probe), strict=True
    ):
        torch.testing.assert_close(whole, part)
    jacobian = prior.covariance() @ torch.linalg.inv(prior.covariance() + 0.25 * torch.eye(N))
    torch.testing.assert_close(guidance.gain, (probe * (probe @ jacobian)).mean(-1))


class _Frozen:
    data_range, image_shape = (-1.0, 1.0), (N,)

    def __call__(self, x, sigma):
        return x.detach() / 2


def test_refuses_a_denoiser_without_a_gradient(likelihood):
    with pytest.raises(ValueError, match="cannot differentiate the denoiser _Frozen"):
        DPS(num_steps=3).sample(likelihood, _Frozen(), 1, generator=derive_generator(0))


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (DPS, {"zeta": 0.0}),
        (DPS, {"guidance_kind": "squared"}),
        (DPS, {"eta": 1.5}),
        (PiGDM, {"prior_std": 0.0}),
        (PiGDM, {"order": 3}),
        (MomentMatching, {"num_cg": 0}),
        (MomentMatching, {"covariance": "diagonal"}),
        (MomentMatching, {"chunk_size": 0}),
    ],
)
def test_refuses_settings_out_of_range(method, settings):
    with pytest.raises(ValueError, match=method.__name__):
        method(**settings)


COUNT, PIXELS = 200, 50
V, Y, NOISE = 0.04, 0.3, 0.1


def predicted(method, likelihood, prior, spread):
    """Mean and variance of a pixel after all steps, for a score J (y - D) / (spread + R)."""
    half, (low, high) = problem_scale(likelihood, prior).half, prior.data_range
    sigmas = half * method.levels()
    mean = float(start_image(likelihood, prior, 1)[0, 0]) - (low + high) / 2
    variance = sigmas[0] ** 2
    for sigma, sigma_next in itertools.pairwise(sigmas):
        kept, fresh = kept_noise(sigma, sigma_next, method.eta)
        j = V / (V + sigma**2)
        pull = sigma**2 * j / (spread(sigma, half) + NOISE**2)
        slope = kept + (1 - kept) * j * (1 - pull)
        mean = slope * mean + (1 - kept) * pull * Y
        variance = slope**2 * variance + fresh**2
    return mean, variance


def annealed(sigma, half):
    return sigma**2


def wide(sigma, half):
    return sigma**2 * half**2 / (sigma**2 + half**2)


@pytest.mark.parametrize(
    ("method", "spread"),
    [
        (DPS(300, guidance_kind="annealed"), annealed),
        (PiGDM(300, order=1), wide),
        (DPS(300, guidance_kind="annealed", eta=0.5), annealed),
    ],
)
def test_bias_is_what_the_neglected_covariance_predicts(method, spread):
    """The prior N(0, v): the covariance of x0 given x is v sigma^2 / (v + sigma^2)."""
    prior = GaussianPrior(torch.zeros(PIXELS, dtype=torch.float64), V)
    operator = Mask(torch.ones(PIXELS, dtype=torch.bool))
    likelihood = Likelihood(operator, GaussianNoise(NOISE), torch.full((PIXELS,), Y).double())
    x = method.sample(likelihood, prior, COUNT, generator=derive_generator(0)).values
    mean, variance = predicted(method, likelihood, prior, spread)
    exact_mean, exact_variance = V / (V + NOISE**2) * Y, V * NOISE**2 / (V + NOISE**2)
    error = (variance / x.numel()) ** 0.5
    assert abs(x.mean() - mean) < 4.5 * error
    assert abs(x.var() / variance - 1) < 4.5 * (2 / x.numel()) ** 0.5
    # weak guidance at high noise leaves the mean towards the prior's, and too much of its width
    assert exact_mean - x.mean() > 10 * error
    assert x.var() > 1.02 * exact_variance
