"""Exact denoisers of Student t noise against Monte Carlo, against each other and at the ends."""

from __future__ import annotations

import math

import pytest
import torch

from invdiff.priors import GaussianMixturePrior, GaussianPrior, SharedCovarianceMixture
from invdiff.priors.pfgm import student_scale
from invdiff.priors.pfgm_atoms import StudentAtoms
from invdiff.priors.pfgm_gaussian import StudentDenoiser
from invdiff.rng import derive_generator

DOFS = [1.0, 16.0, 128.0]
SIGMA = torch.tensor(0.8, dtype=torch.float64)
ATOMS = torch.tensor([[[-1.0, 0.5]], [[0.2, 1.0]], [[1.0, -1.0]]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)


def mixture():
    covariances = torch.tensor([[[0.5, 0.2], [0.2, 0.3]], [[0.05, 0.0], [0.0, 0.1]]]).double()
    means = torch.tensor([[1.0, -1.0], [-1.0, 0.5]]).double()
    return GaussianMixturePrior(torch.tensor([0.4, 0.6]).double(), means, covariances)


def points(generator, *shape):
    return 1.5 * torch.randn(*shape, generator=generator, dtype=torch.float64)


def score_of(denoiser, x, sigma=SIGMA):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(denoiser.log_prob(x, sigma).sum(), x)[0]


@pytest.mark.parametrize("dof", DOFS)
def test_the_mean_of_atoms_is_the_closed_softmax(dof, generator):
    x = points(generator, 7, 1, 2)
    square = ((x.unsqueeze(1) - ATOMS) ** 2).sum((2, 3))
    share = (WEIGHTS.log() - (2 + dof) / 2 * (dof * SIGMA**2 + square).log()).softmax(-1)
    expected = torch.einsum("bk,kij->bij", share, ATOMS)
    torch.testing.assert_close(StudentAtoms(ATOMS, dof, WEIGHTS)(x, SIGMA), expected)


def test_the_mean_of_atoms_goes_to_the_gaussian_softmax(generator):
    x = points(generator, 7, 1, 2)
    square = ((x.unsqueeze(1) - ATOMS) ** 2).sum((2, 3))
    expected = torch.einsum("bk,kij->bij", (-square / (2 * SIGMA**2)).softmax(-1), ATOMS)
    limit = StudentAtoms(ATOMS, math.inf)(x, SIGMA)
    torch.testing.assert_close(limit, expected)
    errors = [(StudentAtoms(ATOMS, 10.0**p)(x, SIGMA) - limit).abs().max() for p in (3, 5, 8)]
    # of first order in 1 / D
    assert 80 < errors[0] / errors[1] < 120
    assert errors[2] < 1e-6


def test_atoms_far_away_and_near_lose_nothing_to_underflow():
    atoms = StudentAtoms(ATOMS, 2.0**20)
    x = ATOMS + 1e-7
    torch.testing.assert_close(atoms(x, torch.tensor(1e-6).double()), ATOMS, rtol=0, atol=1e-12)
    far = atoms(torch.full((1, 2), 1e6, dtype=torch.float64), torch.tensor(1e-3).double())
    assert far.isfinite().all()


def test_one_level_for_each_of_a_batch(generator):
    x, sigma = points(generator, 3, 2), torch.tensor([0.1, 1.0, 5.0]).double()
    for denoiser in (StudentAtoms(ATOMS[:, 0], 3.0), StudentDenoiser(mixture(), 3.0)):
        for call in (denoiser, denoiser.score, denoiser.log_prob):
            alone = torch.stack([call(x[i], sigma[i]) for i in range(3)])
            torch.testing.assert_close(call(x, sigma), alone)


@pytest.mark.parametrize("dof", DOFS)
@pytest.mark.parametrize("kind", ["one", "mixture", "shared"])
def test_the_quadrature_is_the_ratio_of_monte_carlo_means(kind, dof, generator):
    prior = {
        "one": GaussianPrior(torch.tensor([1.0, -1.0]).double(), 0.4),
        "mixture": mixture(),
        "shared": SharedCovarianceMixture(WEIGHTS, ATOMS.flatten(1), 0.1),
    }[kind]
    x, count = points(generator, 4, 2), 100000
    tau = student_scale(count, dof, generator=derive_generator(0)) ** 2
    levels = (SIGMA * tau.sqrt()).unsqueeze(1).expand(count, 4)
    every = x.expand(count, 4, 2)
    mass = prior.log_prob(every, levels).exp()
    denoiser = StudentDenoiser(prior, dof)
    found, density = denoiser(x, SIGMA), denoiser.log_prob(x, SIGMA).exp()
    assert ((density - mass.mean(0)).abs() < 4.5 * mass.std(0) / count**0.5).all()
    share = mass / mass.mean(0)
    spread = (share.unsqueeze(-1) * (prior(every, levels) - found)).std(0)
    mean = (share.unsqueeze(-1) * prior(every, levels)).mean(0)
    assert ((found - mean).abs() < 4.5 * spread / count**0.5).all()


@pytest.mark.parametrize("dof", [1.0, 16.0, 2.0**20])
@pytest.mark.parametrize("num", [1, 3072])
def test_the_quadrature_meets_atoms_in_narrow_gaussians(dof, num, generator):
    means = torch.randn(3, num, generator=generator, dtype=torch.float64)
    noise = torch.randn(4, num, generator=generator, dtype=torch.float64)
    x = means[[0, 0, 1, 2]] + torch.tensor([0.1, 1.0, 3.0, 30.0]).double().unsqueeze(1) * noise
    near = StudentDenoiser(SharedCovarianceMixture(WEIGHTS, means, 1e-14), dof)
    atoms = StudentAtoms(means, dof, WEIGHTS)
    torch.testing.assert_close(near(x, SIGMA), atoms(x, SIGMA), rtol=0, atol=1e-9)
    torch.testing.assert_close(near.score(x, SIGMA), atoms.score(x, SIGMA), rtol=1e-8, atol=1e-9)
    # the constants of the densities are differences of large log-gammas
    torch.testing.assert_close(
        near.log_prob(x, SIGMA), atoms.log_prob(x, SIGMA), rtol=1e-9, atol=1e-7
    )


@pytest.mark.parametrize("dof", [1.0, 16.0])
def test_the_quadrature_meets_a_fine_sum(dof):
    prior = mixture()
    x = torch.tensor([[0.3, -0.2], [4.0, 5.0], [-40.0, 3.0]]).double()
    log_tau = torch.linspace(-12, 90, 200001, dtype=torch.float64)
    half = dof / 2
    log_mass = -half * (log_tau + (-log_tau).exp())
    levels = (SIGMA * (log_tau / 2).exp()).unsqueeze(1).expand(-1, 3)
    every = x.expand(len(log_tau), 3, 2)
    share = (log_mass.unsqueeze(1) + prior.log_prob(every, levels)).softmax(0).unsqueeze(-1)
    expected = (share * prior(every, levels)).sum(0)
    torch.testing.assert_close(StudentDenoiser(prior, dof)(x, SIGMA), expected,
                               rtol=0, atol=1e-10)  # fmt: skip


def test_the_quadrature_goes_to_the_prior_itself(generator):
    prior, x = mixture(), points(generator, 5, 2)
    limit = StudentDenoiser(prior, math.inf)
    torch.testing.assert_close(limit(x, SIGMA), prior(x, SIGMA), rtol=0, atol=0)
    torch.testing.assert_close(limit.log_prob(x, SIGMA), prior.log_prob(x, SIGMA), rtol=0, atol=0)
    errors = [
        (StudentDenoiser(prior, 10.0**p)(x, SIGMA) - limit(x, SIGMA)).abs().max() for p in (3, 5, 8)
    ]
    assert 80 < errors[0] / errors[1] < 120
    assert errors[2] < 1e-6


@pytest.mark.parametrize("dof", [*DOFS, math.inf])
def test_the_score_is_the_gradient_of_the_log_density(dof, generator):
    x = points(generator, 5, 2)
    for denoiser in (StudentAtoms(ATOMS[:, 0], dof, WEIGHTS), StudentDenoiser(mixture(), dof)):
        torch.testing.assert_close(denoiser.score(x, SIGMA), score_of(denoiser, x))


def test_tweedie_fails_for_finite_dimension_only(generator):
    x = points(generator, 5, 2)
    gaps = {}
    for dof in (1.0, 100.0, 10000.0, math.inf):
        atoms = StudentAtoms(ATOMS[:, 0], dof, WEIGHTS)
        gaps[dof] = float((x + SIGMA**2 * atoms.score(x, SIGMA) - atoms(x, SIGMA)).abs().max())
    assert gaps[1.0] > 0.1
    assert 80 < gaps[100.0] / gaps[10000.0] < 125
    assert gaps[math.inf] < 1e-12


def test_float32_images_keep_their_type(generator):
    x = points(generator, 2, 2).float()
    for denoiser in (StudentAtoms(ATOMS[:, 0], 4.0), StudentDenoiser(mixture(), 4.0)):
        assert denoiser(x, SIGMA).dtype == torch.float32
        assert denoiser.score(x, SIGMA).dtype == torch.float32


def test_refuses_bad_settings():
    with pytest.raises(ValueError, match="at least 1"):
        StudentAtoms(ATOMS, 0.0)
    with pytest.raises(ValueError, match="at least 1"):
        StudentDenoiser(mixture(), math.nan)
    for weights in (WEIGHTS[:2], WEIGHTS - 0.2):
        with pytest.raises(ValueError, match="positive weights"):
            StudentAtoms(ATOMS, 1.0, weights)
