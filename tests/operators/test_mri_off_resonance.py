from __future__ import annotations

import math

import pytest
import torch

from operators import NonCartesianMRI, OffResonanceMRI, birdcage_maps, spiral_trajectory
from operators.testing import dot_test
from tests.operators.exact_transform import relative_error, transform_matrix

SHAPE = (12, 11)
TRAJECTORY = spiral_trajectory(2, 80, 3)
TIMES = torch.linspace(0.002, 0.022, 80, dtype=torch.float64).expand(2, -1)


def _field(highest):
    """A smooth map in Hz."""
    rows, columns = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in SHAPE)
    return highest * torch.sin(2 * rows).unsqueeze(1) * torch.cos(columns)


def _exact(field, x):
    """Every sample at its own time, with exp(2 pi i f t)."""
    angles = 2 * math.pi * TIMES.reshape(-1, 1) * field.flatten()
    phase = torch.polar(torch.ones_like(angles), angles)
    return (transform_matrix(TRAJECTORY, SHAPE) * phase) @ x.flatten()


# 150 Hz either way over 20 ms are 5.5 turns
@pytest.mark.parametrize(
    ("num_segments", "error"), [(11, 1e-2), (13, 1e-3), (18, 1e-6), (26, 1e-9)]
)
def test_converges_to_the_exact_sum(num_segments, error, generator):
    field = _field(150)
    x = torch.randn(SHAPE, generator=generator, dtype=torch.complex128)
    operator = OffResonanceMRI(TRAJECTORY, field, TIMES, num_segments, tolerance=1e-11)
    assert relative_error(operator(x)[0], _exact(field, x)) < error


def test_says_how_well_the_segments_do(generator):
    field = _field(150)
    x = torch.randn(SHAPE, generator=generator, dtype=torch.complex128)
    exact = _exact(field, x)
    for num_segments in (6, 9, 12):
        operator = OffResonanceMRI(TRAJECTORY, field, TIMES, num_segments, tolerance=1e-9)
        assert relative_error(operator(x)[0], exact) < operator.segmentation_error


def test_coils_see_the_same_field(generator):
    field, maps = _field(60), birdcage_maps(SHAPE, 3).to(torch.complex128)
    x = torch.randn(2, *SHAPE, generator=generator, dtype=torch.complex128)
    operator = OffResonanceMRI(TRAJECTORY, field, TIMES, 20, maps, tolerance=1e-10)
    expected = torch.stack([torch.stack([_exact(field, s * image) for s in maps]) for image in x])
    assert relative_error(operator(x), expected) < 1e-9


def test_adjoint_is_exact_with_too_few_segments(generator):
    for num_segments in (1, 2, 5):
        operator = OffResonanceMRI(TRAJECTORY, _field(150), TIMES, num_segments, tolerance=1e-2)
        assert dot_test(operator, generator=generator) < 1e-10


@pytest.mark.parametrize("num_segments", [1, 3])
def test_a_uniform_field_is_a_phase_of_the_samples(num_segments, generator):
    x = torch.randn(SHAPE, generator=generator, dtype=torch.complex128)
    field = torch.full(SHAPE, 35.0, dtype=torch.float64)
    turns = 2 * math.pi * 35 * TIMES.flatten()
    expected = NonCartesianMRI(TRAJECTORY, SHAPE)(x) * torch.polar(torch.ones_like(turns), turns)
    operator = OffResonanceMRI(TRAJECTORY, field, TIMES, num_segments)
    torch.testing.assert_close(operator(x), expected)
    assert operator.segmentation_error < 1e-12


def test_no_time_and_no_field_change_nothing(generator):
    x = torch.randn(SHAPE, generator=generator, dtype=torch.complex128)
    expected = NonCartesianMRI(TRAJECTORY, SHAPE)(x)
    for field, times in ((_field(0), TIMES), (_field(90), torch.zeros_like(TIMES))):
        actual = OffResonanceMRI(TRAJECTORY, field, times, 2)(x)
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(
    ("field", "times", "num_segments", "message"),
    [
        (_field(9), TIMES[:, 1:], 3, "expected 160 sample times"),
        (_field(9), TIMES, 0, "at least one segment, got 160 and 0"),
        (_field(math.nan), TIMES, 3, "finite field map"),
        (_field(9).to(torch.complex128), TIMES, 3, "real and finite field map"),
        (_field(9).int(), TIMES, 3, "real and finite field map"),
        (_field(9), TIMES * math.inf, 3, "finite sample times"),
        (_field(9)[0], TIMES, 3, "real trajectory"),
    ],
)
def test_bad_input_is_refused(field, times, num_segments, message):
    with pytest.raises(ValueError, match=f"OffResonanceMRI: .*{message}"):
        OffResonanceMRI(TRAJECTORY, field, times, num_segments)
