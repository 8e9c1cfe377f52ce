from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from operators import Blur, ReflectiveBlur, gaussian_psf, uniform_psf
from operators.testing import dot_test

FFT_TOLERANCE = 1e-12  # float64 transforms of entries of order one


def _random(shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("psf_shape", [(3, 5), (4, 3), (2, 6), (1, 1)])
@pytest.mark.parametrize(("cls", "mode"), [(Blur, "wrap"), (ReflectiveBlur, "reflect")])
def test_matches_scipy_convolution(cls, mode, psf_shape):
    psf, x = _random(psf_shape), _random((9, 10), seed=1)
    expected = ndimage.convolve(x.numpy(), psf.numpy(), mode=mode)
    actual = cls(psf, x.shape)(x)
    torch.testing.assert_close(actual, torch.from_numpy(expected), rtol=0, atol=FFT_TOLERANCE)


@pytest.mark.parametrize(("cls", "mode"), [(Blur, "wrap"), (ReflectiveBlur, "reflect")])
def test_matches_scipy_in_three_dimensions(cls, mode):
    psf, x = _random((3, 2, 4)), _random((4, 5, 6), seed=1)
    expected = ndimage.convolve(x.numpy(), psf.numpy(), mode=mode)
    actual = cls(psf, x.shape)(x)
    torch.testing.assert_close(actual, torch.from_numpy(expected), rtol=0, atol=FFT_TOLERANCE)


@pytest.mark.parametrize("cls", [Blur, ReflectiveBlur])
@pytest.mark.parametrize("psf_shape", [(3, 3), (4, 2)])
def test_impulse_gives_psf_with_its_centre_at_half_size(cls, psf_shape):
    psf = _random(psf_shape)
    x = torch.zeros(11, 12, dtype=torch.float64)
    x[5, 6] = 1
    rows, columns = (
        slice(c - k // 2, c - k // 2 + k) for c, k in zip((5, 6), psf_shape, strict=True)
    )
    torch.testing.assert_close(cls(psf, x.shape)(x)[rows, columns], psf)


@given(
    size=st.integers(2, 9),
    psf_size=st.integers(1, 9),
    circular=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_adjoint_is_exact_for_every_size(size, psf_size, circular, seed):
    psf = _random((min(psf_size, size), min(2, psf_size)), seed) - 0.3
    operator = (Blur if circular else ReflectiveBlur)(psf, (size, 4))
    assert dot_test(operator, generator=torch.Generator().manual_seed(seed)) < 1e-10


@pytest.mark.parametrize("cls", [Blur, ReflectiveBlur])
def test_sum_is_kept(cls):
    x = _random((8, 7))
    blurred = cls(gaussian_psf(1.2, 5), x.shape)(x)
    torch.testing.assert_close(blurred.sum(), x.sum())


def test_svd_is_orthonormal_where_the_transfer_function_vanishes(generator):
    blur = Blur(uniform_psf((1, 2)), (4, 8))  # zero at the highest horizontal frequency
    assert blur.singular_values.min() == 0
    z = torch.randn(4, 8, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(blur.Uh(blur.U(z)), z)
    torch.testing.assert_close(blur.U(blur.singular_values * blur.Vh(z)), blur(z))


@pytest.mark.parametrize("cls", [Blur, ReflectiveBlur])
@pytest.mark.parametrize(
    "psf", [torch.ones(3), torch.ones(6, 2), torch.ones(2, 2).int(), torch.full((2, 2), math.nan)]
)
def test_refuses_psf_that_does_not_fit(cls, psf):
    with pytest.raises(ValueError, match="PSF"):
        cls(psf, (5, 5))
