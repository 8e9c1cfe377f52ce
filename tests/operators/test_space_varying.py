from __future__ import annotations

import math

import pytest
import torch

from operators import (
    Blur,
    ReflectiveBlur,
    SpaceVaryingBlur,
    gaussian_psf,
    interpolation_weights,
)

FFT_TOLERANCE = 1e-12  # float64 transforms of entries of order one


def _close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=FFT_TOLERANCE)


@pytest.mark.parametrize(("boundary", "cls"), [("circular", Blur), ("reflective", ReflectiveBlur)])
def test_is_the_sum_of_blurs_of_weighted_images(boundary, cls, generator):
    psfs, weights, x = (
        torch.rand(s, generator=generator, dtype=torch.float64)
        for s in ((3, 4, 3), (3, 7, 8), (7, 8))
    )
    expected = sum(cls(h, x.shape)(w * x) for h, w in zip(psfs, weights, strict=True))
    _close(SpaceVaryingBlur(psfs, weights, boundary)(x), expected)


@pytest.mark.parametrize(("boundary", "cls"), [("circular", Blur), ("reflective", ReflectiveBlur)])
def test_equal_psfs_are_an_ordinary_blur(boundary, cls, generator):
    psf = gaussian_psf(1.0, 5)
    weights = interpolation_weights([[1.0, 6.0], [2.0, 4.0, 9.0]], (8, 10))
    x = torch.randn(8, 10, generator=generator, dtype=torch.float64)
    operator = SpaceVaryingBlur(psf.expand(6, -1, -1), weights, boundary)
    _close(operator(x), cls(psf, x.shape)(x))


@pytest.mark.parametrize("kernel", ["linear", "hann"])
def test_a_point_at_a_position_is_spread_by_its_psf(kernel):
    psfs = torch.stack([gaussian_psf(s, 5) for s in (0.5, 0.8, 1.1, 1.4)])
    weights = interpolation_weights([[3.0, 9.0], [4.0, 12.0]], (14, 16), kernel)
    operator = SpaceVaryingBlur(psfs, weights)
    for k, (row, column) in enumerate(((3, 4), (3, 12), (9, 4), (9, 12))):
        x = torch.zeros(14, 16, dtype=torch.float64)
        x[row, column] = 1
        _close(operator(x)[row - 2 : row + 3, column - 2 : column + 3], psfs[k])


def test_light_is_kept(generator):
    psfs = torch.stack([gaussian_psf(s, 5) for s in (0.5, 1.5)])
    weights = interpolation_weights([[2.0, 8.0], [0.0]], (11, 6))
    x = torch.rand(11, 6, generator=generator, dtype=torch.float64)
    for boundary in ("circular", "reflective"):
        y = SpaceVaryingBlur(psfs, weights, boundary)(x)
        _close(y.sum(), x.sum())


@pytest.mark.parametrize("kernel", ["linear", "hann"])
def test_weights_are_a_partition_of_unity(kernel):
    weights = interpolation_weights([[1.5, 4.0, 8.5], [3.0], [0.0, 5.0]], (10, 4, 6), kernel)
    assert weights.shape == (6, 10, 4, 6)
    assert (weights >= 0).all()
    _close(weights.sum(0), torch.ones(10, 4, 6, dtype=torch.float64))
    # row-major: the last axis runs fastest; constant beyond the outermost positions
    _close(weights[1, 0, :, 5], torch.ones(4, dtype=torch.float64))
    _close(weights[4, 9, :, 0], torch.ones(4, dtype=torch.float64))


def test_weights_follow_their_kernel():
    (linear,), (hann,) = (
        interpolation_weights([[0.0, 8.0]], (9,), k)[:1] for k in ("linear", "hann")
    )
    t = torch.arange(9, dtype=torch.float64) / 8
    _close(linear, 1 - t)
    _close(hann, torch.cos(math.pi * t / 2) ** 2)


@pytest.mark.parametrize(
    ("positions", "kernel"),
    [
        ([[1.0, 1.0], [0.0]], "hann"),
        ([[2.0, 1.0], [0.0]], "hann"),
        ([[], [0.0]], "hann"),
        ([[math.nan], [0.0]], "hann"),
        ([[0.0]], "hann"),
        ([[0.0], [0.0]], "cubic"),
    ],
)
def test_refuses_positions(positions, kernel):
    with pytest.raises(ValueError, match="interpolation_weights"):
        interpolation_weights(positions, (4, 4), kernel)


@pytest.mark.parametrize(
    ("psfs", "weights", "boundary"),
    [
        (torch.ones(2, 3, 3), torch.ones(3, 4, 4), "circular"),
        (torch.ones(2, 5, 3), torch.ones(2, 4, 4), "circular"),
        (torch.ones(2, 3), torch.ones(2, 4, 4), "circular"),
        (torch.ones(0, 3, 3), torch.ones(0, 4, 4), "circular"),
        (torch.ones(2, 3, 3), torch.full((2, 4, 4), math.nan), "circular"),
        (torch.ones(2, 3, 3), torch.ones(2, 4, 4, dtype=torch.complex64), "circular"),
        (torch.ones(2, 3, 3), torch.ones(2, 4, 4), "zero"),
    ],
)
def test_refuses_what_does_not_fit(psfs, weights, boundary):
    with pytest.raises(ValueError, match="SpaceVaryingBlur"):
        SpaceVaryingBlur(psfs, weights, boundary)
