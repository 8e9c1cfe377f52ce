from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import CartesianMRI, RealToComplex, SingleCoilMRI, birdcage_maps, cartesian_lines
from operators.fourier import fft
from operators.mri import cartesian
from operators.testing import dot_test, to_dense

SHAPES = [(6, 8), (7, 6), (5, 7)]


def _masks(shape):
    generator = torch.Generator().manual_seed(2)
    return {
        "columns": cartesian_lines(shape, 2, 0.2, axis=-1, generator=generator),
        "rows": cartesian_lines(shape, 2, 0.2, axis=-2, generator=generator),
        "points": torch.rand(shape, generator=generator) < 0.4,
        "full": torch.ones(shape, dtype=torch.bool),
    }


def _explicit_dft(size):
    """exp(-2 pi i (k - c)(j - c) / N) / sqrt(N), entry by entry."""
    n = torch.arange(size, dtype=torch.float64) - size // 2
    angles = -2 * math.pi * torch.outer(n, n) / size
    return torch.polar(torch.full_like(angles, size**-0.5), angles)


@pytest.mark.parametrize("kind", ["columns", "rows", "points", "full"])
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_explicit_transform(shape, kind, generator):
    mask, maps = _masks(shape)[kind], birdcage_maps(shape, 3).to(torch.complex128)
    x = torch.randn(2, *shape, generator=generator, dtype=torch.complex128)
    rows, columns = (_explicit_dft(n) for n in shape)
    expected = rows @ (maps * x.unsqueeze(1)) @ columns.mT
    torch.testing.assert_close(CartesianMRI(mask, maps)(x), expected[..., mask])


@pytest.mark.parametrize("kind", ["columns", "rows", "points", "full"])
@pytest.mark.parametrize("shape", SHAPES)
def test_sample_and_zero_filled_are_consistent(shape, kind, generator):
    mask, maps = _masks(shape)[kind], birdcage_maps(shape, 3).to(torch.complex128)
    operator = CartesianMRI(mask, maps)
    x = torch.randn(2, *shape, generator=generator, dtype=torch.complex128)
    kspace = fft(maps * x.unsqueeze(-3), (-2, -1))
    torch.testing.assert_close(operator.sample(kspace), operator(x))
    torch.testing.assert_close(operator.zero_filled(operator(x)), kspace * mask)


@pytest.mark.parametrize("kind", ["columns", "rows", "points"])
def test_normal_is_that_of_the_matrix(kind):
    shape = (6, 5)
    operator = CartesianMRI(_masks(shape)[kind], birdcage_maps(shape, 3).to(torch.complex128))
    dense = to_dense(operator)
    eye = torch.eye(30, dtype=torch.complex128).reshape(30, *shape)
    torch.testing.assert_close(operator.normal(eye).reshape(30, 30).mT, dense.mH @ dense)


def test_line_paths_are_taken():
    masks = _masks((6, 8))
    assert CartesianMRI(masks["columns"])._axes.readouts == (0,)
    assert CartesianMRI(masks["rows"])._axes.readouts == (1,)
    assert CartesianMRI(masks["points"])._axes.readouts == ()


@pytest.mark.parametrize("kind", ["columns", "rows", "points"])
def test_result_does_not_depend_on_the_grouping_of_coils(kind, generator, monkeypatch):
    shape = (6, 8)
    operator = CartesianMRI(_masks(shape)[kind], birdcage_maps(shape, 5))
    x = torch.randn(2, *shape, generator=generator, dtype=torch.complex64)
    y = operator(x)
    together = y, operator.adjoint(y), operator.normal(x)
    for group in (2 * 48 * 2, 1):  # two coils at once, one coil at once
        monkeypatch.setattr(cartesian, "_GROUP", group)
        assert len(operator._groups(x)) == (3 if group > 1 else 5)
        assert torch.equal(operator(x), together[0])
        assert torch.equal(operator.adjoint(y), together[1])
        assert torch.equal(operator.normal(x), together[2])


@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    coils=st.integers(1, 3),
    kind=st.sampled_from(["columns", "rows", "points"]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_adjoint_is_exact_for_every_shape(height, width, coils, kind, seed):
    generator = torch.Generator().manual_seed(seed)
    pattern = {"columns": (1, width), "rows": (height, 1), "points": (height, width)}[kind]
    pattern = torch.rand(pattern, generator=generator) < 0.5
    pattern[-1, -1] = True
    mask = pattern.expand(height, width)
    maps = torch.randn(coils, height, width, generator=generator, dtype=torch.complex128)
    operator = CartesianMRI(mask, maps)
    assert dot_test(operator, generator=generator) < 1e-10
    assert dot_test(operator @ RealToComplex((height, width)), generator=generator) < 1e-10


def test_single_coil_has_orthonormal_rows(generator):
    operator = SingleCoilMRI(_masks((6, 7))["points"])
    y = torch.randn(operator.out_shape, generator=generator, dtype=torch.complex128)
    torch.testing.assert_close(operator(operator.adjoint(y)), y)
    torch.testing.assert_close(operator.pinv(y), operator.adjoint(y))
    same = CartesianMRI(operator.mask)
    x = torch.randn(6, 7, generator=generator, dtype=torch.complex128)
    assert torch.equal(same(x), operator(x))


@pytest.mark.parametrize(
    ("mask", "maps"),
    [
        (torch.ones(4, 4), None),
        (torch.zeros(4, 4, dtype=torch.bool), None),
        (torch.ones(4, dtype=torch.bool), None),
        (torch.ones(4, 4, dtype=torch.bool), torch.ones(2, 4, 4)),
        (torch.ones(4, 4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.complex64)),
        (torch.ones(4, 4, dtype=torch.bool), torch.ones(2, 4, 5, dtype=torch.complex64)),
        (torch.ones(4, 4, dtype=torch.bool), torch.full((1, 4, 4), complex(math.nan, 0))),
    ],
)
def test_refuses_masks_and_maps(mask, maps):
    with pytest.raises(ValueError, match="CartesianMRI"):
        CartesianMRI(mask, maps)


def test_sample_refuses_another_number_of_coils():
    operator = CartesianMRI(torch.ones(4, 4, dtype=torch.bool), birdcage_maps((4, 4), 2))
    with pytest.raises(ValueError, match=r"expected trailing shape \(2, 4, 4\)"):
        operator.sample(torch.zeros(3, 4, 4, dtype=torch.complex64))
