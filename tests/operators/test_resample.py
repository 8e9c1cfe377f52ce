from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import Downsample, Resample
from operators.testing import check_operator, dot_test

KERNELS = ("box", "linear", "bicubic", "lanczos3")


@pytest.mark.parametrize("kernel", KERNELS)
def test_constant_stays_constant(kernel):
    x = torch.full((12, 8), 3.7, dtype=torch.float64)
    y = Downsample((12, 8), 4, kernel)(x)
    torch.testing.assert_close(y, torch.full((3, 2), 3.7, dtype=torch.float64))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("factor", [2, 3])
def test_ramp_stays_a_ramp_inside(kernel, factor):
    size = 60
    y = Downsample((size,), factor, kernel)(torch.arange(size, dtype=torch.float64))
    centres = (torch.arange(size // factor, dtype=torch.float64) + 0.5) * factor - 0.5
    torch.testing.assert_close(y[4:-4], centres[4:-4])


def test_box_is_the_mean_of_a_block(generator):
    x = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    expected = x.reshape(2, 3, 4, 2).mean((1, 3))
    torch.testing.assert_close(Downsample((6, 8), (3, 2), "box")(x), expected)


def test_bicubic_weights_are_the_stretched_kernel():
    # Keys' kernel at (k + 1/2) / 2 over 2, k = 0 ... 3
    t = torch.tensor([0.25, 0.75, 1.25, 1.75], dtype=torch.float64)
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    half = torch.where(t < 1, near, far) / 2
    x = torch.eye(16, dtype=torch.float64)
    row = Downsample((16,), 2)(x)[:, 4]
    torch.testing.assert_close(row[4:14], torch.cat([row[4:5], half.flip(0), half, row[13:14]]))
    torch.testing.assert_close(row[4:5], torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos3"])
def test_what_the_coarse_grid_cannot_hold_is_suppressed(kernel):
    n = torch.arange(120, dtype=torch.float64)
    passed, aliased = torch.cos(2 * torch.pi * n / 60), torch.cos(2 * torch.pi * n / 3.3)
    operator = Downsample((120,), 4, kernel)
    assert operator(passed)[3:-3].abs().max() > 0.9
    assert operator(aliased)[3:-3].abs().max() < 0.05


def test_ends_are_reflected_half_a_sample_outside():
    x = torch.arange(8, dtype=torch.float64)
    extended = torch.cat([x.flip(0), x, x.flip(0)])
    expected = Downsample((24,), 2, "lanczos3")(extended)[4:8]
    torch.testing.assert_close(Downsample((8,), 2, "lanczos3")(x), expected)


def test_factor_one_is_the_identity_for_the_box(generator):
    x = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(Downsample((3, 4), 1, "box")(x), x)


@given(
    blocks=st.integers(1, 5),
    factor=st.integers(1, 4),
    kernel=st.sampled_from(KERNELS),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=25)
def test_laws_hold_for_every_size(blocks, factor, kernel, seed):
    operator = Downsample((blocks * factor, 2), (factor, 2), kernel)
    check_operator(operator, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("factor", "kernel"), [(4, "box"), (0, "box"), ((2, 2, 2), "box"), (2, "nearest")]
)
def test_refuses_factor_and_kernel(factor, kernel):
    with pytest.raises(ValueError, match="Downsample"):
        Downsample((6, 6), factor, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("out_shape", [(5, 13), (17, 3), (12, 8)])
def test_constant_stays_constant_for_any_factor(kernel, out_shape):
    x = torch.full((12, 8), 3.7, dtype=torch.float64)
    y = Resample((12, 8), out_shape, kernel)(x)
    torch.testing.assert_close(y, torch.full(out_shape, 3.7, dtype=torch.float64))


@pytest.mark.parametrize("new_size", [25, 47, 90, 61])
def test_linear_and_cubic_interpolation_keep_a_ramp(new_size):
    """Exact where the grid becomes finer; sampling a stretched kernel costs a little."""
    size, factor = 60, 60 / new_size
    centres = (torch.arange(new_size, dtype=torch.float64) + 0.5) * factor - 0.5
    inside = (centres > 6 * max(1, factor)) & (centres < size - 1 - 6 * max(1, factor))
    # in pixels of x: a stretched kernel, sampled at fractions, has a first moment only nearly zero
    allowed = 1e-12 if factor < 1 else 0.1
    for kernel in ("linear", "bicubic"):
        y = Resample((size,), (new_size,), kernel)(torch.arange(size, dtype=torch.float64))
        assert ((y - centres)[inside].abs() < allowed).all()


def test_box_is_the_mean_over_the_area():
    """Exact for any factor: through the integral of the piecewise constant image."""
    x = torch.randn(7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    integral = torch.cat([torch.zeros(1, dtype=torch.float64), x.cumsum(0)])
    for new_size in (3, 5, 7, 11):
        edges = torch.arange(new_size + 1, dtype=torch.float64) * 7 / new_size
        low = edges.floor().clamp(max=6).long()
        at_edges = integral[low] + (edges - low) * x[low]
        expected = at_edges.diff() * new_size / 7
        torch.testing.assert_close(Resample((7,), (new_size,), "box")(x), expected)


def test_twofold_linear_interpolation_has_its_textbook_weights():
    x = torch.tensor([0.0, 4.0, 8.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 1.0, 3.0, 5.0, 7.0, 8.0], dtype=torch.float64)
    torch.testing.assert_close(Resample((3,), (6,), "linear")(x), expected)


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos3"])
def test_what_a_coarser_grid_cannot_hold_is_suppressed_for_a_fraction(kernel):
    n = torch.arange(120, dtype=torch.float64)
    passed, aliased = torch.cos(2 * torch.pi * n / 60), torch.cos(2 * torch.pi * n / 2.9)
    operator = Resample((120,), (35,), kernel)
    assert operator(passed)[3:-3].abs().max() > 0.9
    assert operator(aliased)[3:-3].abs().max() < 0.06


def test_same_shape_is_the_identity(generator):
    x = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    for kernel in KERNELS:
        torch.testing.assert_close(Resample((5, 4), (5, 4), kernel)(x), x)


@given(
    size=st.integers(1, 12),
    new_size=st.integers(1, 12),
    kernel=st.sampled_from(KERNELS),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_adjoint_is_exact_for_every_size(size, new_size, kernel, seed):
    operator = Resample((size, 2), (new_size, 3), kernel)
    assert dot_test(operator, generator=torch.Generator().manual_seed(seed)) < 1e-10


@pytest.mark.parametrize(
    ("in_shape", "out_shape", "kernel"),
    [((4, 4), (3,), "box"), ((4,), (0,), "box"), ((), (), "box"), ((4,), (3,), "nearest")],
)
def test_refuses_shapes_and_kernel(in_shape, out_shape, kernel):
    with pytest.raises(ValueError, match="Resample"):
        Resample(in_shape, out_shape, kernel)
