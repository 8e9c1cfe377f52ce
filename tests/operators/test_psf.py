from __future__ import annotations

import math

import pytest
import torch

from operators import defocus_psf, gaussian_psf, motion_psf, random_motion_psf, uniform_psf


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
        random_motion_psf(6.0, 4.0, (9, 10), generator=torch.Generator().manual_seed(1)),
        defocus_psf(2.3, (5, 6)),
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


def test_random_motion_is_centred_and_follows_the_generator():
    psfs = [
        random_motion_psf(9.0, 4.0, 13, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(psfs[0], psfs[1])
    assert not torch.equal(psfs[0], psfs[2])
    means, _ = _moments(psfs[0])
    torch.testing.assert_close(means, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("persistence", [1.0, 5.0, 1e6])
def test_random_motion_has_the_extent_of_a_worm_like_chain(persistence, generator):
    """Mean squared radius of gyration, in closed form (Benoit and Doty 1953)."""
    length, count = 8.0, 400
    radii = torch.stack(
        [
            _moments(random_motion_psf(length, persistence, 11, generator=generator))[1].sum()
            for _ in range(count)
        ]
    )
    q = length / persistence
    expected = length**2 / 12
    if q > 1e-3:  # the formula cancels for a straight segment
        p = persistence
        expected = length * p / 3 - p**2 + 2 * p**3 / length * (1 - (1 - math.exp(-q)) / q)
    # sharing among pixels adds f (1 - f) along either axis, 1/6 on average each
    error = radii.std().item() / count**0.5
    assert abs(radii.mean().item() - expected - 1 / 3) < 4.5 * error + 0.02


def test_random_motion_of_long_persistence_is_straight(generator):
    psf = random_motion_psf(8.0, 1e9, 11, generator=generator)
    rows, columns = torch.meshgrid(*(torch.arange(11) - 5.0,) * 2, indexing="ij")
    covariance = (rows * columns * psf).sum()
    spread = torch.stack([(rows**2 * psf).sum(), (columns**2 * psf).sum()])
    matrix = torch.diag(spread)
    matrix[0, 1] = matrix[1, 0] = covariance
    small, large = torch.linalg.eigvalsh(matrix)
    assert large > 8.0**2 / 12 - 0.01
    assert small <= 0.25


@pytest.mark.parametrize("size", [9, (12, 10)])
def test_defocus_has_the_moments_of_a_disc(size):
    radius = 3.7
    psf = defocus_psf(radius, size)
    means, squares = _moments(psf)
    # 64 lines a row: a thousandth of a pixel
    torch.testing.assert_close(means, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-3)
    # r^2 / 4 of the disc and 1/12 of the pixels; the rim's pixels are not covered evenly
    expected = torch.full((2,), radius**2 / 4 + 1 / 12, dtype=torch.float64)
    torch.testing.assert_close(squares, expected, rtol=0.01, atol=0)
    centre = psf[size // 2, size // 2] if isinstance(size, int) else psf[6, 5]
    torch.testing.assert_close(centre.item(), 1 / (math.pi * radius**2), rtol=1e-3, atol=0)


def test_small_defocus_is_a_point():
    assert defocus_psf(0.4, 3)[1, 1] == 1


@pytest.mark.parametrize(
    ("length", "persistence", "size"),
    [(-1.0, 1.0, 5), (4.0, 1.0, 5), (1.0, 0.0, 5), (1.0, math.inf, 5), (1.0, 1.0, (5, 5, 5))],
)
def test_random_motion_refuses_impossible_arguments(length, persistence, size, generator):
    with pytest.raises(ValueError, match="random_motion_psf"):
        random_motion_psf(length, persistence, size, generator=generator)


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
        (defocus_psf, (0.0, 5)),
        (defocus_psf, (2.6, 5)),
        (defocus_psf, (2.0, 4)),
        (defocus_psf, (1.0, (5, 5, 5))),
        (uniform_psf, ((),)),
    ],
)
def test_refuses_impossible_arguments(function, arguments):
    with pytest.raises(ValueError, match=r"got|does not fit"):
        function(*arguments)
