from __future__ import annotations

import pytest
import torch

from operators import RandomProjection, StructuredRandomProjection
from operators.testing import to_dense

ERRORS = 4.5  # standard errors: one false alarm in 150 000 at another seed


def test_dense_entries_are_normal(generator):
    m, n = 300, 400
    matrix = RandomProjection((20, 20), m, generator=generator).matrix * m**0.5
    count = m * n
    # of standard normals: mean 0 +- 1, variance 1 +- sqrt(2), fourth moment 3 +- sqrt(96)
    for power, mean, deviation in ((1, 0, 1), (2, 1, 2**0.5), (4, 3, 96**0.5)):
        error = (matrix.double() ** power).mean() - mean
        assert error.abs() < ERRORS * deviation / count**0.5


def test_dense_keeps_norms_on_average(generator):
    x = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    ratios = torch.stack(
        [
            RandomProjection((6, 5), 20, generator=generator)(x).square().sum() / x.square().sum()
            for _ in range(400)
        ]
    )
    # chi-square with 20 degrees of freedom over 20: variance 2 / 20
    assert (ratios.mean() - 1).abs() < ERRORS * (2 / 20 / 400) ** 0.5


@pytest.mark.parametrize("complex_valued", [False, True])
def test_structured_rows_are_orthonormal(complex_valued, generator):
    operator = StructuredRandomProjection(
        (5, 6), 11, generator=generator, complex_valued=complex_valued
    )
    dense = to_dense(operator)
    # rounding of a transform of 30 entries
    eye = torch.eye(11, dtype=dense.dtype)
    torch.testing.assert_close(dense @ dense.mH, eye, rtol=0, atol=1e-13)


def test_structured_rows_are_flat(generator):
    """No entry is large: no pixel decides alone what is measured."""
    real = to_dense(StructuredRandomProjection((6, 4), 24, generator=generator))
    assert real.abs().max() < (2 / 24) ** 0.5 + 1e-12
    other = StructuredRandomProjection((6, 4), 24, generator=generator, complex_valued=True)
    torch.testing.assert_close(
        to_dense(other).abs(), torch.full((24, 24), 24**-0.5, dtype=torch.float64)
    )


def test_structured_keeps_a_share_of_the_norm_of_any_x(generator):
    """A point, a constant and noise alike: m / n on average over signs and selections."""
    images = torch.zeros(3, 8, 8, dtype=torch.float64)
    images[0, 3, 4], images[1] = 8, 1
    images[2] = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    ratios = torch.stack(
        [
            StructuredRandomProjection((8, 8), 16, generator=generator)(images).square().sum(-1)
            for _ in range(400)
        ]
    ) / images.square().sum((1, 2))
    error = ratios.std(0) / 400**0.5
    assert ((ratios.mean(0) - 0.25).abs() < ERRORS * error).all()
    # without signs the constant is one coefficient, seen or not: a deviation of 0.43
    assert (ratios.std(0) < 0.15).all()


def test_all_coefficients_give_back_x(generator):
    x = torch.randn(7, 6, generator=generator, dtype=torch.float64)
    operator = StructuredRandomProjection((7, 6), 42, generator=generator)
    torch.testing.assert_close(operator.pinv(operator(x)), x)


@pytest.mark.parametrize("cls", [RandomProjection, StructuredRandomProjection])
def test_draws_follow_the_generator(cls):
    a, b, c = (
        to_dense(cls((4, 4), 5, generator=torch.Generator().manual_seed(seed)))
        for seed in (1, 1, 2)
    )
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(
    ("cls", "shape", "m"),
    [
        (RandomProjection, (3, 3), 0),
        (RandomProjection, (0, 3), 2),
        (StructuredRandomProjection, (3, 3), 0),
        (StructuredRandomProjection, (3, 3), 10),
    ],
)
def test_refuses_number_of_measurements(cls, shape, m, generator):
    with pytest.raises(ValueError, match=cls.__name__):
        cls(shape, m, generator=generator)
