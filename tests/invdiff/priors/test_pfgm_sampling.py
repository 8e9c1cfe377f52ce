"""The ODE of PFGM++ samples its prior from a Student t start, and from no other."""

from __future__ import annotations

import math

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.priors.pfgm import student_scale
from invdiff.priors.pfgm_atoms import StudentAtoms
from invdiff.priors.pfgm_gaussian import StudentDenoiser
from invdiff.rng import derive_generator, problem_streams
from invdiff.samplers import HeunSampler, RedDiff
from operators import GaussianNoise, Mask

ATOMS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [0.0, 1.0]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)


def samples_of(denoiser, count, dof, **settings):
    sampler = HeunSampler(dof=dof, **settings)
    return sampler.sample(
        denoiser, count, generator=derive_generator(0), dtype=torch.float64
    ).values


@pytest.mark.parametrize("dof", [1.0, 4.0, 16.0, 128.0, math.inf])
def test_atoms_are_met_as_often_as_they_weigh(dof):
    count = 3000
    x = samples_of(StudentAtoms(ATOMS, dof, WEIGHTS), count, dof, num_steps=40)
    distance, nearest = torch.cdist(x, ATOMS).min(1)
    assert (distance < 0.02).double().mean() > 0.99
    share = torch.bincount(nearest, minlength=3) / count
    assert ((share - WEIGHTS).abs() < 4.5 * (WEIGHTS * (1 - WEIGHTS) / count).sqrt()).all()


@pytest.mark.parametrize("dof", [1.0, 16.0, 128.0, math.inf])
def test_the_moments_of_a_gaussian(dof):
    count = 400
    covariance = torch.tensor([[0.5, 0.2], [0.2, 0.3]]).double()
    prior = GaussianPrior(torch.tensor([1.0, -1.0]).double(), covariance)
    x = samples_of(StudentDenoiser(prior, dof), count, dof, num_steps=20)
    assert ((x.mean(0) - prior.mean()).abs() < 4.5 * x.std(0) / count**0.5).all()
    diagonal = covariance.diagonal()
    error = ((covariance**2 + diagonal.outer(diagonal)) / count).sqrt()
    assert ((torch.cov(x.T) - covariance).abs() < 4.5 * error).all()


def test_a_gaussian_start_is_wrong_for_small_dimension():
    count = 400
    prior = GaussianPrior(torch.zeros(1).double(), 1.0)
    denoiser = StudentDenoiser(prior, 1.0)
    error = 4.5 * (2 / count) ** 0.5
    right, wrong = (samples_of(denoiser, count, d, num_steps=20).var() for d in (1.0, math.inf))
    assert abs(right - 1) < error
    assert wrong < 1 - error


def test_a_sample_does_not_depend_on_their_number():
    atoms = StudentAtoms(ATOMS, 2.0)
    few, many = (samples_of(atoms, n, 2.0, num_steps=6) for n in (2, 5))
    torch.testing.assert_close(few, many[:2])


def test_each_sample_starts_from_its_own_stream():
    class Origin:
        """Where the only image is 0, images stay the noise of the start times their level."""

        data_range, image_shape = (-1.0, 1.0), (2,)

        def __call__(self, x, sigma):
            return torch.zeros_like(x)

    seen = []
    sampler = HeunSampler(num_steps=4, dof=2.0)
    sampler.sample(
        Origin(), 3, generator=derive_generator(0), dtype=torch.float64, callback=seen.append
    )
    streams = problem_streams(derive_generator(0), 3, ())
    normal = streams.normal((2,), torch.zeros((), dtype=torch.float64))
    scales = torch.cat([student_scale(1, 2.0, generator=g) for g in streams.generators])
    start = normal * scales.unsqueeze(1)
    torch.testing.assert_close(seen[0].image / seen[1].sigma, start, rtol=1e-6, atol=0)


def test_the_start_for_infinite_dimension_is_the_gaussian_one():
    atoms = StudentAtoms(ATOMS, math.inf)
    ends = [samples_of(atoms, 4, dof, num_steps=6) for dof in (math.inf, 1e14)]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=1e-6)


def test_churn_goes_with_gaussian_noise_only():
    with pytest.raises(ValueError, match="churn"):
        HeunSampler(churn=1.0, dof=16.0)
    with pytest.raises(ValueError, match="at least 1"):
        HeunSampler(dof=0.0)


def test_the_bias_of_a_posterior_sampler_falls_as_one_over_dimension():
    place = torch.arange(6, dtype=torch.float64)
    covariance = 0.25 * torch.exp(-(place.unsqueeze(1) - place).abs() / 4)
    prior = GaussianPrior(torch.zeros(6, dtype=torch.float64), covariance)
    y = torch.tensor([0.4, -0.2, 0.3], dtype=torch.float64)
    likelihood = Likelihood(Mask(place.long() % 2 == 0), GaussianNoise(0.1), y)
    std = prior.posterior(likelihood).covariance().diagonal().sqrt()
    sampler = RedDiff(num_steps=40, clip=False)
    means = {
        dof: sampler.sample(
            likelihood, StudentDenoiser(prior, dof), 8, generator=derive_generator(0)
        ).mean()
        for dof in (16.0, 256.0, math.inf)
    }
    bias = {dof: float(((means[dof] - means[math.inf]) / std).norm()) for dof in (16.0, 256.0)}
    assert 0.005 < bias[16.0] < 0.2
    assert 12 < bias[16.0] / bias[256.0] < 24
