import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator, population
from invdiff.samplers import tilted_gaussian
from operators import FiniteDifferences, GaussianNoise, Mask, Matrix
from operators.testing import to_dense

ALPHA, BETA = 0.7, 1.3


def problem(kind, generator):
    if kind == "matrix":
        operator = Matrix(torch.randn(3, 5, generator=generator, dtype=torch.float64))
    elif kind == "mask":
        operator = Mask(torch.tensor([[1, 0, 1], [0, 1, 1]], dtype=torch.bool))
    elif kind == "differences":
        operator = FiniteDifferences((2, 3))
    else:
        operator = Matrix(torch.randn(3, 4, generator=generator, dtype=torch.complex128))
    dtype = torch.complex128 if operator.out_complex else torch.float64
    return Likelihood(operator, GaussianNoise(0.5), torch.zeros(operator.out_shape, dtype=dtype))


def precision(likelihood):
    dense = to_dense(likelihood.operator).to(likelihood.weighted_adjoint.dtype)
    normal = likelihood.precision * dense.mH @ dense
    return ALPHA * normal + BETA * torch.eye(len(normal), dtype=normal.dtype)


@pytest.mark.parametrize("kind", ["matrix", "mask", "differences", "complex"])
def test_solves_with_the_dense_precision(kind, generator):
    likelihood = problem(kind, generator)
    b = torch.randn(2, *likelihood.image_shape, generator=generator, dtype=torch.float64)
    b = b.to(likelihood.weighted_adjoint.dtype)
    x = tilted_gaussian.solve(likelihood, ALPHA, torch.tensor([BETA, BETA]), b)
    expected = torch.linalg.solve(precision(likelihood), b.reshape(2, -1).mT).mT
    torch.testing.assert_close(x.reshape(2, -1), expected)


@pytest.mark.parametrize("kind", ["matrix", "mask", "differences", "complex"])
def test_draws_have_the_inverse_precision_as_covariance(kind, generator):
    likelihood = problem(kind, generator)
    count = 20_000
    source = population(derive_generator(0, kind), ())
    x = tilted_gaussian.sample(likelihood, ALPHA, BETA, source, count).reshape(count, -1)
    # of a complex number each real part has the covariance
    parts = torch.stack([x.real, x.imag]) if x.is_complex() else x[None]
    expected = torch.linalg.inv(precision(likelihood)).real
    for part in parts:
        # five standard errors of the largest variance
        bound = 5 * float(expected.diagonal().max()) * (2 / count) ** 0.5
        assert (part.mT @ part / count - expected).abs().max() < bound


def test_log_determinant_is_that_of_the_matrix(generator):
    likelihood = problem("matrix", generator)
    expected = torch.logdet(precision(likelihood) / BETA)
    torch.testing.assert_close(tilted_gaussian.log_determinant(likelihood, ALPHA / BETA), expected)
    assert tilted_gaussian.log_determinant(problem("differences", generator), 1.0) is None
