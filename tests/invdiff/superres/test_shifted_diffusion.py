"""The shifted diffusion: DDPM in x - xhat, and the conditional law of Gaussians."""

from itertools import pairwise

import pytest
import torch

from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator, problem_streams
from invdiff.superres import ExactConditional, ShiftedDiffusion
from invdiff.superres.shifted_diffusion import reverse_coefficients
from operators import Matrix

NUM_COPIES = 20_000


class Refined(ExactConditional):
    """The exact denoiser, about a linear rough image of its condition."""

    def center(self, y):
        return y @ self.rough.mT


@pytest.fixture
def denoiser(generator):
    factor = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    covariance = factor @ factor.mT / 3 + 0.1 * torch.eye(3)
    matrix = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    prior = GaussianPrior(torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64), covariance)
    denoiser = Refined(prior, Matrix(matrix), 0.4)
    denoiser.rough = torch.linalg.pinv(matrix)
    denoiser.matrix = matrix
    return denoiser


def draw(sampler, denoiser, y, num_samples=1):
    generator = derive_generator(0, "shifted")
    return sampler.sample(denoiser, y, num_samples, generator=generator).values


@pytest.fixture
def y(generator):
    return torch.randn(4, 2, generator=generator, dtype=torch.float64)


def test_is_ddpm_in_what_the_rough_image_leaves(denoiser, y):
    """Ho et al., algorithm 2, by betas and the predicted noise, for u = x - xhat."""
    sampler, (low, high) = ShiftedDiffusion(num_steps=20), denoiser.data_range
    half, signals = (high - low) / 2, sampler.signals()
    streams = problem_streams(derive_generator(0, "shifted"), 1, ())
    u = half * streams.normal((4, 3), y)
    for t in range(20):
        signal, beta = signals[t], 1 - signals[t] / signals[t + 1]
        clean = denoiser(u / signal.sqrt(), half * (1 / signal - 1).sqrt(), y)
        eps = (u - signal.sqrt() * clean) / (1 - signal).sqrt()
        mean = (u - beta / (1 - signal).sqrt() * eps) / (1 - beta).sqrt()
        std = half * (beta * (1 - signals[t + 1]) / (1 - signal)).sqrt()
        u = mean + std * streams.normal((4, 3), y)
    torch.testing.assert_close(draw(sampler, denoiser, y), u, rtol=0, atol=1e-12)


def test_a_shift_changes_no_sample_where_the_denoiser_sees_the_condition(denoiser, y):
    shifted, plain = (draw(ShiftedDiffusion(shift=s), denoiser, y, 3) for s in (True, False))
    torch.testing.assert_close(shifted, plain, rtol=0, atol=1e-12)


def test_the_chain_starts_about_the_rough_image_and_ends_on_the_clean_one(denoiser, y):
    seen = []
    sampler = ShiftedDiffusion(num_steps=10)
    samples = sampler.sample(
        denoiser, y, 2, generator=derive_generator(0), callback=lambda i, x: seen.append((i, x))
    )
    assert [i for i, _ in seen] == list(range(10))
    torch.testing.assert_close(seen[-1][1] - denoiser.center(y), samples.values)
    torch.testing.assert_close(samples.log_weights.exp().sum(), torch.ones(()).double())


def conditional_law(denoiser, y):
    """Mean and covariance of x0 given y, from their joint law."""
    prior, noise = denoiser.prior.covariance(), 0.16 * torch.eye(2)
    cross = prior @ denoiser.matrix.mT
    gain = torch.linalg.solve(denoiser.matrix @ cross + noise, cross.mT).mT
    mean = denoiser.prior.mean() + gain @ (y - denoiser.matrix @ denoiser.prior.mean())
    return mean, prior - gain @ cross.mT


def law_of_chain(sampler, denoiser, y):
    """Moments of x - xhat, step by step, as E[x0 | x] is affine: no sample and no denoiser."""
    half = (denoiser.data_range[1] - denoiser.data_range[0]) / 2
    mean, covariance = conditional_law(denoiser, y)
    u, spread = torch.zeros(3).double(), half**2 * torch.eye(3).double()
    for signal, after in pairwise(sampler.signals()):
        c1, c2, v = reverse_coefficients(signal, after)
        level = half**2 * (1 - signal) / signal
        shrink = covariance @ torch.linalg.inv(covariance + level * torch.eye(3))
        change = c1 * shrink / signal.sqrt() + c2 * torch.eye(3)
        u = change @ u + c1 * (mean - shrink @ mean)
        spread = change @ spread @ change.mT + half**2 * v * torch.eye(3)
    return u, spread


def test_samples_have_the_law_of_the_chain(denoiser, y):
    sampler = ShiftedDiffusion(num_steps=60)
    drawn = draw(sampler, denoiser, y[0].expand(NUM_COPIES, 2))[0]
    mean, covariance = law_of_chain(sampler, denoiser, y[0])
    variances = covariance.diag()
    assert ((drawn.mean(0) - mean) / (variances / NUM_COPIES).sqrt()).abs().max() < 4.5
    # of a product of two normals, whose variance is at most 2
    off = (drawn.mT.cov() - covariance) / torch.outer(variances, variances).sqrt()
    assert off.abs().max() < 4.5 * (2 / NUM_COPIES) ** 0.5


def test_recovers_the_conditional_law_of_a_gaussian(denoiser, y):
    sampler = ShiftedDiffusion(num_steps=4000, sigma_max=200.0, sigma_min=1e-3)
    found, exact = law_of_chain(sampler, denoiser, y[0]), conditional_law(denoiser, y[0])
    spread = exact[1].diag().sqrt()
    assert ((found[0] - exact[0]) / spread).abs().max() < 0.01
    assert ((found[1] - exact[1]) / torch.outer(spread, spread)).abs().max() < 0.01


def test_the_lack_of_variance_is_of_first_order():
    """One Gaussian number, whose variance along the chain is a recursion."""
    lacks = []
    for num_steps in (50, 100, 200):
        sampler, var = ShiftedDiffusion(num_steps=num_steps), torch.ones((), dtype=torch.float64)
        signals = sampler.signals()
        for signal, after in pairwise(signals):
            c1, c2, v = reverse_coefficients(signal, after)
            # D = S / (S + sigma^2) u / sqrt(abar) with S = 0.04
            shrink = 0.04 / (0.04 + 1 / signal - 1) / signal.sqrt()
            var = (c1 * shrink + c2) ** 2 * var + v
        lacks.append(float(1 - var / 0.04))
    assert all(lack > 0 for lack in lacks)
    assert lacks[0] / lacks[1] == pytest.approx(2, abs=0.2)
    assert lacks[1] / lacks[2] == pytest.approx(2, abs=0.1)


def test_a_sample_does_not_depend_on_their_number(denoiser, y):
    sampler = ShiftedDiffusion(num_steps=8)
    few, many = (draw(sampler, denoiser, y, count) for count in (2, 5))
    torch.testing.assert_close(few, many[:2], rtol=0, atol=1e-12)
    assert not torch.allclose(many[0], many[1])


def test_shifted_refusals(denoiser, y):
    with pytest.raises(ValueError, match="num_samples: expected at least 1, got 0"):
        draw(ShiftedDiffusion(), denoiser, y, 0)
    with pytest.raises(ValueError, match=r"sigma_min < sigma_max"):
        ShiftedDiffusion(sigma_max=0.001)
