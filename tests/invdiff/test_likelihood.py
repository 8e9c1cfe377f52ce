import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.linalg import NumericalWarning
from operators import (
    Blur,
    CartesianMRI,
    FiniteDifferences,
    GaussianNoise,
    Identity,
    Matrix,
    PhaseRetrieval,
    PoissonNoise,
    RealToComplex,
    TransmissionNoise,
    birdcage_maps,
    gaussian_psf,
)
from operators.testing import random_input, to_dense

SHAPE = (6, 5)


def mri(generator):
    mask = torch.rand(SHAPE, generator=generator) < 0.6
    return CartesianMRI(mask, birdcage_maps(SHAPE, 3)) @ RealToComplex(SHAPE)


OPERATORS = {
    "blur": lambda g: Blur(gaussian_psf(1.0, 3).double(), SHAPE),
    "differences": lambda g: FiniteDifferences(SHAPE),
    "mri": mri,
}


@pytest.fixture(params=OPERATORS)
def operator(request, generator):
    return OPERATORS[request.param](generator)


def problem(operator, noise, generator, batch=()):
    x = random_input(operator, generator, torch.float64, batch).abs()
    return x, Likelihood(operator, noise, noise.sample(operator(x), generator=generator))


def dense(operator):
    matrix = to_dense(operator)
    return torch.cat([matrix.real, matrix.imag]) if matrix.is_complex() else matrix


def real_vector(y):
    y = y.flatten()
    return torch.cat([y.real, y.imag]) if y.is_complex() else y


def test_proximal_step_matches_the_dense_solution(operator, generator):
    x, likelihood = problem(operator, GaussianNoise(0.3), generator)
    a, y, tau = dense(operator), real_vector(likelihood.y), 0.7
    z = likelihood.proximal(x, tau, tolerance=1e-12)
    left = a.T @ a / 0.3**2 + torch.eye(a.shape[1]).double() / tau
    expected = torch.linalg.solve(left, a.T @ y / 0.3**2 + x.flatten() / tau)
    # the coil maps are float32 constants
    torch.testing.assert_close(z.flatten(), expected, rtol=1e-5, atol=1e-6)


def test_proximal_step_with_one_step_size_a_problem(operator, generator):
    x, likelihood = problem(operator, GaussianNoise(0.3), generator, (2, 3))
    tau = torch.rand(2, 3, generator=generator).double() + 0.1
    together = likelihood.proximal(x, tau, tolerance=1e-12)
    for i in range(2):
        for j in range(3):
            alone = Likelihood(operator, likelihood.noise, likelihood.y[i, j])
            expected = alone.proximal(x[i, j], tau[i, j], tolerance=1e-12)
            torch.testing.assert_close(together[i, j], expected, rtol=1e-8, atol=1e-10)


def test_single_precision_is_enough_for_a_badly_conditioned_svd(generator):
    q, _ = torch.linalg.qr(torch.randn(30, 30, generator=generator, dtype=torch.float64))
    operator = Matrix(q * torch.logspace(0, -8, 30).double() @ q.mT)
    x, wide = problem(operator, GaussianNoise(1e-3), generator)
    narrow = Likelihood(operator, wide.noise, wide.y.float())
    start, tau = x + 0.1 * torch.randn(30, generator=generator, dtype=torch.float64), 10.0
    z = narrow.proximal(start.float(), tau)
    torch.testing.assert_close(z.double(), wide.proximal(start, tau), rtol=0, atol=2e-4)
    # no proximal map moves points apart
    moved = narrow.proximal(start.float() + 1e-6, tau) - z
    assert moved.norm() < 2e-4


def test_proximal_step_of_counts_solves_the_surrogate(generator):
    operator = FiniteDifferences(SHAPE)
    x, likelihood = problem(operator, TransmissionNoise(50.0), generator)
    z = likelihood.proximal(x, 0.5, tolerance=1e-12)
    # stationary: the score of the surrogate balances the pull of x
    torch.testing.assert_close(likelihood.quadratic_score(z), (z - x) / 0.5, rtol=1e-6, atol=1e-8)


def test_score_is_the_gradient_of_the_log_density(operator, generator):
    _x, likelihood = problem(operator, GaussianNoise(0.3), generator, (2,))
    z = random_input(operator, generator, torch.float64, (2,)).requires_grad_()
    (expected,) = torch.autograd.grad(likelihood.log_prob(z).sum(), z)
    torch.testing.assert_close(likelihood.score(z), expected)
    torch.testing.assert_close(likelihood.quadratic_score(z.detach()), expected)


@pytest.mark.parametrize("noise", [PoissonNoise(20.0), TransmissionNoise(100.0)])
def test_score_of_counts_is_the_gradient_of_their_density(noise, generator):
    operator = Blur(gaussian_psf(1.0, 3).double(), SHAPE)
    x, likelihood = problem(operator, noise, generator)
    z = (x + 0.5).requires_grad_()
    (expected,) = torch.autograd.grad(likelihood.log_prob(z), z)
    torch.testing.assert_close(likelihood.score(z), expected)


@pytest.mark.parametrize("name", ["blur", "mri"])
def test_residual_over_noise_is_one_at_the_truth(name, generator):
    x, likelihood = problem(OPERATORS[name](generator), GaussianNoise(0.3), generator, (400,))
    ratio = likelihood.residual_over_noise(x)
    assert ratio.shape == (400,)
    # at least 30 real numbers a problem: standard error of the mean below 0.007
    assert abs(ratio.square().mean() - 1) < 0.03


def test_norm_is_that_of_the_weighted_operator(operator, generator):
    _, likelihood = problem(operator, GaussianNoise(0.3), generator, (2,))
    expected = torch.linalg.matrix_norm(dense(operator), 2) / 0.3
    torch.testing.assert_close(likelihood.norm(), expected.expand(2), rtol=2e-2, atol=0)


def test_warns_when_the_proximal_step_is_not_solved(generator):
    x, likelihood = problem(FiniteDifferences(SHAPE), GaussianNoise(1e-4), generator)
    with pytest.warns(NumericalWarning):
        likelihood.proximal(x, 1.0, num_steps=2)


def test_refuses_measurements_that_do_not_fit(generator):
    operator = Blur(gaussian_psf(1.0, 3), SHAPE)
    y = torch.zeros(SHAPE)
    with pytest.raises(ValueError, match=r"trailing shape \(6, 5\), got \(5, 6\)"):
        Likelihood(operator, GaussianNoise(1.0), y.T)
    with pytest.raises(ValueError, match="real floating-point"):
        Likelihood(operator, GaussianNoise(1.0), y.to(torch.complex64))
    y[1, 2] = torch.nan
    with pytest.raises(ValueError, match=r"\(1, 2\) is not finite"):
        Likelihood(operator, GaussianNoise(1.0), y)
    with pytest.raises(ValueError, match="is negative"):
        Likelihood(operator, PoissonNoise(1.0), torch.full(SHAPE, -1.0))


def test_operators_that_are_not_linear_are_refused() -> None:
    phases = PhaseRetrieval(Identity((2, 3)))
    with pytest.raises(ValueError, match="expected a LinearOperator, got PhaseRetrieval"):
        Likelihood(phases, GaussianNoise(1.0), torch.ones(2, 3))
