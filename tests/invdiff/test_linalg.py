import pytest
import torch

from invdiff.linalg import NumericalWarning, conjugate_gradient, operator_norm


@pytest.fixture
def system(generator):
    """Three Hermitian positive definite matrices of very different size, and right-hand sides."""
    a = torch.randn(3, 12, 12, generator=generator, dtype=torch.complex128)
    scales = torch.tensor([1e-3, 1.0, 1e3]).double().reshape(3, 1, 1)
    matrix = scales * (a @ a.mH + torch.eye(12))
    return matrix, torch.randn(3, 3, 4, generator=generator, dtype=torch.complex128)


def apply(matrix):
    return lambda x: (matrix @ x.reshape(3, 12, 1)).reshape(3, 3, 4)


def test_solves_each_problem_of_a_batch(system):
    matrix, b = system
    x = conjugate_gradient(apply(matrix), b, num_dims=2, num_steps=200, tolerance=1e-12)
    expected = torch.linalg.solve(matrix, b.reshape(3, 12, 1)).reshape(3, 3, 4)
    torch.testing.assert_close(x, expected, rtol=1e-8, atol=0)


def test_problems_do_not_depend_on_each_other(system):
    matrix, b = system
    x = conjugate_gradient(apply(matrix), b, num_dims=2, num_steps=5)
    alone = conjugate_gradient(
        lambda v: (matrix[1] @ v.reshape(12)).reshape(3, 4), b[1], num_dims=2, num_steps=5
    )
    torch.testing.assert_close(x[1], alone, rtol=1e-12, atol=0)


def test_a_solved_problem_stays_solved(system):
    matrix, b = system
    solution = torch.linalg.solve(matrix, b.reshape(3, 12, 1)).reshape(3, 3, 4)
    b = torch.cat([torch.zeros_like(b[:1]), b[1:]])
    x = conjugate_gradient(apply(matrix), b, num_dims=2, num_steps=60)
    assert torch.equal(x[0], torch.zeros_like(x[0]))
    torch.testing.assert_close(x[1:], solution[1:], rtol=1e-6, atol=0)


def test_warns_when_the_tolerance_is_not_reached(system):
    matrix, b = system
    with pytest.warns(NumericalWarning, match="after 2 steps"):
        conjugate_gradient(apply(matrix), b, num_dims=2, num_steps=2, tolerance=1e-10)


def test_operator_norm_is_the_largest_singular_value(system):
    matrix, b = system
    norm = operator_norm(apply(matrix), b, num_dims=2, num_steps=300)
    expected = torch.linalg.eigvalsh(matrix)[:, -1].sqrt()
    torch.testing.assert_close(norm.flatten(), expected, rtol=1e-6, atol=0)
