from __future__ import annotations

import math

import pytest
import torch

from operators import gaussian_psf, motion_psf, uniform_psf


def _moments(psf):
    grids = torch.meshgrid(*(torch.arange(n) - n // 2.0 for n in psf.shape), indexing="ij")
    means = torch.stack([(g * psf).sum() for g in grids])
    return means, torch.stack([(g**2 * psf).sum() for g in grids])


@pytest.mark.parametrize(
    "psf",
    [
        gaussian_psf(1.5, 9),
        gaussian_psf([0.5, 2.0, 1.0], [3, 8, 5]),
        motion_psf(6.5, 0.7, 11),
        motion_psf(0, 1.0, (3, 5)),
        uniform_psf((2, 3)),
        uniform_psf((2, 3, 4)),
    ],
)
def test_sums_to_one_and_is_not_negative(psf):
    torch.testing.assert_close(psf.sum(), torch.ones((), dtype=torch.float64))
    assert (psf >= 0).all()


def test_gaussian_has_its_variances():
    means, squares = _moments(gaussian_psf([1.0, 2.0], [15, 25]))
    torch.testing.assert_close(means, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-12)
    # sampling and cutting off at six sigma leave 1e-6
    torch.testing.assert_close(squares, torch.tensor([1.0, 4.0]).double(), rtol=1e-6, atol=0)


def test_gaussian_of_even_size_has_its_peak_at_half_size():
    assert gaussian_psf(1.0, 6).argmax() == 3 * 6 + 3


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2, 2.5])
def test_motion_lies_along_its_angle(angle):
    length = 8.0
    psf = motion_psf(length, angle, 15)
    means, squares = _moments(psf)
    torch.testing.assert_close(means, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-10)
    # variance of a segment is length^2 / 12; sharing among pixels adds f (1 - f) <= 1/4 to it
    along = torch.tensor([math.sin(angle) ** 2, math.cos(angle) ** 2]) * length**2 / 12
    assert (squares - along >= -0.01).all()
    assert (squares - along <= 0.25).all()
    rows, columns = torch.meshgrid(*(torch.arange(15) - 7.0,) * 2, indexing="ij")
    # rows point down: a positive angle has negative covariance of row and column
    covariance = (rows * columns * psf).sum().item()
    expected = -math.sin(angle) * math.cos(angle) * length**2 / 12
    assert covariance == pytest.approx(expected, abs=0.01)


def test_motion_without_length_is_a_point():
    psf = motion_psf(0, 0.3, 3)
    assert psf[1, 1] == 1


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (gaussian_psf, (0.0, 3)),
        (gaussian_psf, (math.nan, 3)),
        (gaussian_psf, ([1.0, 2.0], [3, 3, 3])),
        (gaussian_psf, (1.0, 0)),
        (motion_psf, (-1.0, 0.0, 5)),
        (motion_psf, (5.0, 0.0, 3)),
        (motion_psf, (1.0, 0.0, (3, 3, 3))),
        (uniform_psf, ((),)),
    ],
)
def test_refuses_impossible_arguments(function, arguments):
    with pytest.raises(ValueError, match=r"got|does not fit"):
        function(*arguments)
