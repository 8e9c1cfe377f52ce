from __future__ import annotations

import numpy as np
import pytest
import torch

from operators.fourier import centring_ramp, fft, ifft


@pytest.mark.parametrize("shape", [(6, 4), (5, 8), (7, 3), (2, 1)])
def test_matches_numpy_with_explicit_shifts(shape, generator):
    x = torch.randn(2, *shape, generator=generator, dtype=torch.complex128)
    axes = (-2, -1)
    shifted = np.fft.ifftshift(x.numpy(), axes=axes)
    expected = np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=axes)
    torch.testing.assert_close(fft(x, axes), torch.from_numpy(expected))
    torch.testing.assert_close(ifft(fft(x, axes), axes), x)


@pytest.mark.parametrize("size", [4, 5])
def test_origin_and_zero_frequency_are_at_half_size(size):
    x = torch.zeros(size, dtype=torch.float64)
    x[size // 2] = 1
    flat = torch.full((size,), size**-0.5, dtype=torch.complex128)
    torch.testing.assert_close(fft(x, (0,)), flat)
    torch.testing.assert_close(fft(flat, (0,)), x.to(torch.complex128))


def test_box_has_the_transform_of_a_box():
    x = torch.zeros(64, dtype=torch.float64)
    x[32 - 4 : 32 + 5] = 1
    k = torch.arange(64, dtype=torch.float64) - 32
    expected = torch.where(
        k == 0, 9.0, torch.sin(9 * torch.pi * k / 64) / torch.sin(torch.pi * k / 64)
    )
    torch.testing.assert_close(fft(x, (0,)), (expected / 8).to(torch.complex128))


@pytest.mark.parametrize("size", [1, 2, 6, 8, 7, 9])
def test_ramp_replaces_the_shift_of_the_spectrum(size, generator):
    x = torch.randn(size, generator=generator, dtype=torch.complex128)
    expected = torch.fft.fftshift(torch.fft.fft(x))
    torch.testing.assert_close(torch.fft.fft(centring_ramp(size) * x), expected)


def test_ramp_of_even_size_is_an_exact_checkerboard():
    assert centring_ramp(4).tolist() == [1, -1, 1, -1]
