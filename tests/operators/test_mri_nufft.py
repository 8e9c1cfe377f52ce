from __future__ import annotations

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import NUFFT, radial_trajectory
from operators.fourier import fft
from operators.mri import gridding
from operators.mri.kaiser_bessel import AxisKernel, design_kernels
from operators.testing import dot_test, to_dense
from tests.operators.exact_transform import relative_error, transform_matrix

SHAPES = [(17,), (16, 14), (9, 15), (6, 7, 8), (5, 1)]
# the library promises its tolerance only to a small factor
FINUFFT_SLACK = 3


def _points(number, ndim, generator):
    return torch.rand(number, ndim, generator=generator, dtype=torch.float64) - 0.5


def _image(shape, generator, dtype=torch.complex128):
    return torch.randn(shape, generator=generator, dtype=dtype)


def _cartesian(shape):
    axes = [(torch.arange(n, dtype=torch.float64) - n // 2) / n for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-13])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_error_stays_below_the_tolerance(shape, tolerance, generator):
    points, x = _points(300, len(shape), generator), _image(shape, generator)
    expected = transform_matrix(points, shape) @ x.flatten()
    assert relative_error(NUFFT(points, shape, tolerance=tolerance)(x), expected) < tolerance


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_default_is_good_to_1e_5_in_single_precision(shape, generator):
    points, x = _points(300, len(shape), generator), _image(shape, generator)
    expected = transform_matrix(points, shape) @ x.flatten()
    y = NUFFT(points, shape).to(torch.float32)(x.to(torch.complex64))
    assert y.dtype == torch.complex64
    assert relative_error(y, expected) < 1e-5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_adjoint_matches_the_exact_sum(shape, generator):
    points = _points(40, len(shape), generator)
    operator, y = NUFFT(points, shape, tolerance=1e-8), _image((40,), generator)
    expected = (transform_matrix(points, shape).mH @ y).reshape(shape)
    assert relative_error(operator.adjoint(y), expected) < 1e-8


@pytest.mark.parametrize("oversampling", [1.2, 1.25, 1.5, 2.0, 3.0])
def test_tolerance_holds_for_every_oversampling(oversampling, generator):
    points, x = _points(300, 2, generator), _image((20, 15), generator)
    expected = transform_matrix(points, (20, 15)) @ x.flatten()
    operator = NUFFT(points, (20, 15), tolerance=1e-6, oversampling=oversampling)
    assert relative_error(operator(x), expected) < 1e-6


@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (4, 3, 5)], ids=str)
def test_cartesian_trajectory_is_the_centred_fft(shape, generator):
    x = _image((2, *shape), generator)
    operator = NUFFT(_cartesian(shape), shape, tolerance=1e-12)
    expected = fft(x, range(1, x.ndim))
    assert relative_error(operator(x), expected.flatten(1)) < 1e-12
    assert relative_error(operator.adjoint(operator(x)), x) < 1e-12


def test_the_border_of_k_space_is_periodic(generator):
    left, right = torch.tensor([[-0.5, 0.1]]).double(), torch.tensor([[0.5, 0.1]]).double()
    x = _image((8, 6), generator)
    torch.testing.assert_close(NUFFT(left, (8, 6))(x), NUFFT(right, (8, 6))(x))


def test_a_point_at_the_origin_gives_a_flat_spectrum(generator):
    x = torch.zeros(7, 6, dtype=torch.complex128)
    x[3, 3] = 1
    y = NUFFT(_points(50, 2, generator), (7, 6), tolerance=1e-9)(x)
    # a single pixel: the error is relative to the largest amplification, that of the border
    torch.testing.assert_close(y, torch.full_like(y, 42**-0.5), rtol=0, atol=1e-8)


@settings(deadline=None, max_examples=20)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    number=st.integers(1, 12),
    tolerance=st.floats(1e-12, 0.09),
    seed=st.integers(0, 2**31),
)
def test_adjoint_is_exact_at_any_tolerance(shape, number, tolerance, seed):
    generator = torch.Generator().manual_seed(seed)
    operator = NUFFT(_points(number, len(shape), generator), shape, tolerance=tolerance)
    assert dot_test(operator, generator=generator) < 1e-10
    matrix = to_dense(operator)
    # the same sums in another order
    torch.testing.assert_close(to_dense(operator.H), matrix.mH, rtol=0, atol=1e-12)


def test_groups_give_the_same_as_all_at_once(generator, monkeypatch):
    operator = NUFFT(_points(20, 2, generator), (6, 5), tolerance=1e-6)
    x = _image((2, 3, 6, 5), generator)
    whole, back = operator(x), operator.adjoint(operator(x))
    monkeypatch.setattr(gridding, "CACHE_ENTRIES", 200)
    torch.testing.assert_close(operator(x), whole)
    torch.testing.assert_close(operator.adjoint(whole), back)


def test_a_trajectory_of_shots_is_flattened():
    trajectory = radial_trajectory(4, 6)
    operator = NUFFT(trajectory, (5, 5))
    assert operator.out_shape == (24,)
    x = torch.ones(5, 5, dtype=torch.complex128)
    torch.testing.assert_close(operator(x), NUFFT(trajectory.reshape(-1, 2), (5, 5))(x))


def test_conjugated_views_are_read_as_they_look(generator):
    operator = NUFFT(_points(20, 2, generator), (6, 5))
    x, y = _image((6, 5), generator), _image((20,), generator)
    torch.testing.assert_close(operator(x.conj()), operator(x.conj().resolve_conj()))
    torch.testing.assert_close(
        operator.adjoint(y.conj()), operator.adjoint(y.conj().resolve_conj())
    )


def test_nan_in_the_image_reaches_every_sample(generator):
    x = _image((6, 5), generator)
    x[2, 2] = math.nan
    assert NUFFT(_points(20, 2, generator), (6, 5))(x).isnan().all()


def test_an_empty_batch_stays_empty(generator):
    operator = NUFFT(_points(20, 2, generator), (6, 5))
    assert operator(torch.zeros(0, 6, 5, dtype=torch.complex64)).shape == (0, 20)
    assert operator.adjoint(torch.zeros(3, 0, 20, dtype=torch.complex64)).shape == (3, 0, 6, 5)


def test_kernel_transform_is_its_integral():
    kernel = AxisKernel(10, 16, 6)
    u = torch.linspace(-3, 3, 60001, dtype=torch.float64)
    for pixel in (0, 2, -5):
        wave = torch.cos(2 * math.pi * u * pixel / 16)
        integral = torch.trapezoid(kernel(u) * wave, u)
        expected = kernel.transform(torch.tensor(pixel, dtype=torch.float64))
        # the trapezoidal rule on a kernel with a small step at its ends
        torch.testing.assert_close(integral, expected, rtol=1e-7, atol=0)


def test_grids_are_even_and_have_small_factors():
    kernels = design_kernels((13, 97, 256, 1), 1e-3)
    assert [kernel.grid_size for kernel in kernels] == [18, 128, 320, 2]
    assert {kernel.width for kernel in kernels} == {6}


@pytest.mark.parametrize("shape", [(12, 11), (6, 5, 8)], ids=str)
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-10])
def test_finufft_gives_the_same_transform(shape, tolerance, generator):
    points, x = _points(300, len(shape), generator), _image(shape, generator)
    expected = transform_matrix(points, shape) @ x.flatten()
    operator = NUFFT(points, shape, tolerance=tolerance, backend="finufft")
    assert relative_error(operator(x), expected) < FINUFFT_SLACK * tolerance


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-5, 1e-8, 1e-12])
@pytest.mark.parametrize("shape", [(40,), (32, 30), (12, 9, 10), (5, 1)], ids=str)
def test_finufft_is_a_matched_pair_at_any_tolerance(shape, tolerance, generator):
    points = _points(600, len(shape), generator)
    operator = NUFFT(points, shape, tolerance=tolerance, backend="finufft")
    assert dot_test(operator, generator=generator) < 1e-10
    assert dot_test(operator, generator=generator, dtype=torch.float32) < 1e-6


def test_finufft_is_imported_only_when_asked_for(generator, monkeypatch):
    monkeypatch.setitem(sys.modules, "finufft", None)
    points = _points(5, 2, generator)
    assert NUFFT(points, (4, 4)).out_shape == (5,)
    with pytest.raises(ModuleNotFoundError, match="finufft"):
        NUFFT(points, (4, 4), backend="finufft")


@pytest.mark.parametrize(
    ("trajectory", "message"),
    [
        (torch.zeros(5, 3), r"real trajectory \(\.\.\., 2\)"),
        (torch.zeros(2), "real trajectory"),
        (torch.zeros(5, 2, dtype=torch.int64), "real trajectory"),
        (torch.zeros(5, 2, dtype=torch.complex64), "real trajectory"),
        (torch.zeros(5, 2, dtype=torch.float16), "real trajectory"),
        (torch.zeros(5, 2, requires_grad=True), "no gradient can reach"),
        (torch.zeros(0, 2), "empty or not finite"),
        (torch.full((5, 2), math.nan), "empty or not finite"),
        (torch.full((5, 2), math.inf), "empty or not finite"),
        (torch.full((5, 2), 0.51), r"cycles per pixel, within \[-0.5, 0.5\], got 0.51"),
        (torch.full((5, 2), -2.0), "got 2"),
    ],
)
def test_bad_trajectories_are_refused(trajectory, message):
    with pytest.raises(ValueError, match=f"NUFFT: .*{message}"):
        NUFFT(trajectory, (4, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.5}, "tolerance in"),
        ({"tolerance": 0.0}, "tolerance in"),
        ({"tolerance": math.nan}, "tolerance in"),
        ({"oversampling": 1.0}, "oversampling in"),
        ({"backend": "nfft"}, "got 'nfft'"),
        ({"backend": "finufft", "oversampling": 1.5}, "oversampling of 1.25, 2 or None"),
        ({"backend": "finufft", "tolerance": 0.5}, "tolerance in"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NUFFT(torch.zeros(3, 2), (4, 5), **options)


@pytest.mark.parametrize("shape", [(), (4, 0), (2, 2, 2, 2)], ids=str)
def test_bad_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="one to three positive image sizes"):
        NUFFT(torch.zeros(3, max(1, len(shape))), shape)
