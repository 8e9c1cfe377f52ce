from __future__ import annotations

import pytest
import torch

from operators import birdcage_maps, calibration_region, cartesian_lines, estimate_maps
from operators.fourier import fft


@pytest.mark.parametrize(
    ("shape", "coils"), [((16, 20), 8), ((9, 7), 1), ((1, 1), 3), ((6, 5, 4), 4)]
)
def test_birdcage_has_unit_root_sum_of_squares(shape, coils):
    maps = birdcage_maps(shape, coils)
    assert maps.shape == (coils, *shape)
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(shape))


def test_birdcage_is_smooth_and_each_coil_sees_its_own_side():
    maps = birdcage_maps((32, 32), 4)
    assert maps.diff(dim=-1).abs().max() < 0.15
    assert maps.diff(dim=-2).abs().max() < 0.15
    columns = torch.arange(32.0)
    centre = [(m.abs().square().sum(0) * columns).sum() / m.abs().square().sum() for m in maps]
    assert centre[0] > 18  # at angle 0: the right side
    assert centre[2] < 13
    rows = [(m.abs().square().sum(1) * columns).sum() / m.abs().square().sum() for m in maps]
    assert rows[1] > 18
    assert rows[3] < 13


def test_birdcage_in_a_volume_has_coils_in_front_and_behind():
    maps = birdcage_maps((16, 12, 12), 6)
    flipped = birdcage_maps((16, 12, 12), 6).flip(1)
    energy = maps.abs().square().sum((-2, -1))
    assert (energy[::2, :8].sum(1) > 1.2 * energy[::2, 8:].sum(1)).all()
    assert (energy[1::2, 8:].sum(1) > 1.2 * energy[1::2, :8].sum(1)).all()
    # the mirrored coil of the other ring, half a turn on, sees the same through a point reflection
    torch.testing.assert_close(maps[0], flipped.roll(3, 0)[0].flip((-2, -1)))
    # the ends of the conductors are as near to the corners as a tenth of the field
    assert maps.diff(dim=1).abs().max() < 0.2


def _phantom(size):
    n = (torch.arange(size, dtype=torch.float64) - size // 2) / size
    radius = (n.unsqueeze(1) ** 2 + n**2).sqrt()
    magnitude = torch.exp(-((radius / 0.25) ** 4))
    phase = 1.5 * n.unsqueeze(1) - 0.8 * n
    return torch.polar(magnitude, phase.expand(size, size).contiguous()), magnitude


def test_estimated_maps_match_the_true_ones_and_take_the_phase_of_the_object(generator):
    size = 64
    image, magnitude = _phantom(size)
    maps = birdcage_maps((size, size), 6).to(torch.complex128)
    mask = cartesian_lines((size, size), 3, 0.3, generator=generator)
    kspace = fft(maps * image, (-2, -1)) * mask
    estimate = estimate_maps(kspace, calibration_region(mask))
    inside = magnitude > 0.5
    expected = maps * torch.exp(1j * image.angle())
    # a window of 19 lines smooths over seven pixels: a few per cent at the edge
    assert (estimate - expected)[:, inside].abs().max() < 0.05
    torch.testing.assert_close(
        estimate.abs().square().sum(0)[inside], torch.ones(int(inside.sum())).double()
    )
    combined = (estimate.conj() * maps * image).sum(0)[inside]
    assert (combined.angle().abs() < 0.05).all()
    torch.testing.assert_close(combined.real, magnitude[inside], rtol=0.02, atol=0)


def test_estimate_reads_the_calibration_block_only(generator):
    kspace = torch.randn(2, 3, 16, 16, generator=generator, dtype=torch.complex64)
    region = slice(5, 12), slice(3, 14)
    changed = kspace.clone()
    changed[..., :5, :] = torch.nan
    first, second = estimate_maps(kspace, region), estimate_maps(changed, region)
    assert torch.equal(first, second)
    assert first.shape == kspace.shape


def test_maps_are_zero_where_there_is_no_signal_at_all():
    kspace = torch.zeros(2, 8, 8, dtype=torch.complex64)
    assert (estimate_maps(kspace, (slice(0, 8), slice(0, 8))) == 0).all()


def test_estimate_refuses_bad_blocks():
    kspace = torch.zeros(2, 16, 16, dtype=torch.complex64)
    with pytest.raises(ValueError, match="too small"):
        estimate_maps(kspace, (slice(7, 10), slice(0, 16)))
    with pytest.raises(ValueError, match="off the centre"):
        estimate_maps(kspace, (slice(0, 6), slice(0, 16)))
    with pytest.raises(ValueError, match="complex"):
        estimate_maps(kspace.real, (slice(0, 16), slice(0, 16)))
    kspace[0, 8, 8] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        estimate_maps(kspace, (slice(0, 16), slice(0, 16)))


@pytest.mark.parametrize(("shape", "coils"), [((4,), 2), ((4, 4), 0), ((0, 4), 2)])
def test_birdcage_refuses_impossible_arguments(shape, coils):
    with pytest.raises(ValueError, match="birdcage_maps"):
        birdcage_maps(shape, coils)
