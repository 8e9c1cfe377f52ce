import dataclasses

import numpy as np
import pytest
import torch

from operators import ConeGeometry, ImageGrid, VolumeGrid, feldkamp, filtered_backprojection
from operators.ct.sparse import FanBeam2D
from tests.operators.scan_phantoms import chords, vector_rays

GRID = VolumeGrid((20, 36, 40), (1.0, 1.1, 0.9))
CONE = {"source_to_axis": 120.0, "source_to_detector": 200.0}
VIEWS = 120
RADIUS = 7.0


def coordinates(grid):
    x, y = ImageGrid(grid.shape[1:], grid.voxel_size[1:]).coordinates()
    z = (np.arange(grid.shape[0]) - (grid.shape[0] - 1) / 2) * grid.voxel_size[0]
    return x, y[:, None], z[:, None, None]


def distance(centre):
    parts = zip(coordinates(GRID), centre, strict=True)
    return torch.from_numpy(np.sqrt(sum((a - c) ** 2 for a, c in parts)))


def ball_sinogram(geometry, centre):
    return chords(*vector_rays(geometry.vectors()), RADIUS, centre)


def scans_by_name():
    full = ConeGeometry.covering(GRID, VIEWS, **CONE)
    rows, columns = full.detector_shape
    pitch = full.detector_spacing[1]
    return {
        "full": full,
        "short": full.short_scan(VIEWS, 0.3),
        "shifted": dataclasses.replace(full, detector_offset=(-4.0, 2.0), axial_position=3.0),
        "half-detector": dataclasses.replace(
            full, detector_shape=(rows, columns - 20), detector_offset=(0.0, 10 * pitch)
        ),
        "tilted": dataclasses.replace(full, detector_tilt=0.1, detector_offset=(3.0, 2.0)),
    }


@pytest.mark.parametrize("centre", [(6.0, -4.0, 0.0), (6.0, -4.0, 3.0)], ids=["middle", "above"])
@pytest.mark.parametrize("name", scans_by_name())
def test_ball_becomes_one_inside_and_zero_outside(name, centre):
    geometry = scans_by_name()[name]
    volume = feldkamp(GRID, geometry, ball_sinogram(geometry, centre))
    apart = distance(centre)
    assert abs(volume[apart < RADIUS - 3].mean() - 1) < 0.005
    middle = (apart < RADIUS - 3) & torch.from_numpy(np.abs(coordinates(GRID)[2]) < 1)
    assert (volume[middle] - 1).abs().max() < 0.01
    # streaks of few views, twice as many in a full turn as in a short scan
    assert volume[apart > RADIUS + 4].abs().max() < (0.12 if name == "short" else 0.06)
    weight = torch.where(volume > 0.5, volume, 0.0)
    for axis, expected in zip(coordinates(GRID), centre, strict=True):
        found = (weight * torch.from_numpy(axis)).sum() / weight.sum()
        assert float(found) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", ["full", "short", "half-detector"])
def test_the_mid_plane_is_the_fan_beam_image(name, generator):
    """One row through the plane of the source, and one slice in it: fan-beam CT."""
    geometry = dataclasses.replace(scans_by_name()[name], detector_shape=(1, 60))
    grid = VolumeGrid((1, 24, 20))
    sinogram = torch.rand(geometry.shape, generator=generator, dtype=torch.float64)
    flat = FanBeam2D(ImageGrid((24, 20)), geometry.midplane())
    expected = filtered_backprojection(flat, sinogram[:, 0])
    torch.testing.assert_close(feldkamp(grid, geometry, sinogram)[0], expected)


def test_a_column_is_the_same_at_every_height():
    """FDK is exact for what does not change along z (Feldkamp, Davis and Kress 1984)."""
    # a steep cone: rays climb by up to 0.28 of their length, and are weighted by 0.96
    geometry = ConeGeometry.covering(GRID, VIEWS, source_to_axis=60.0, source_to_detector=100.0)
    points, directions = vector_rays(geometry.vectors())
    level = np.linalg.norm(directions[..., :2], axis=-1, keepdims=True)
    assert level.min() < 0.96
    disc = chords(points[..., :2], directions[..., :2] / level, 9.0, (5.0, 3.0))
    volume = feldkamp(GRID, geometry, disc / torch.from_numpy(level[..., 0]))
    x, y, _ = coordinates(GRID)
    core = torch.from_numpy((x - 5) ** 2 + (y - 3) ** 2 < 6**2)
    assert (volume[:, core] - 1).abs().max() < 0.01


def test_no_tilt_is_the_limit_of_a_small_one(generator):
    upright = ConeGeometry.covering(GRID, 10, **CONE)
    tilted = dataclasses.replace(upright, detector_tilt=1e-9)
    sinogram = torch.rand(upright.shape, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(
        feldkamp(GRID, tilted, sinogram), feldkamp(GRID, upright, sinogram), rtol=0, atol=1e-6
    )


def test_batch_is_a_loop_and_the_dtype_stays(generator):
    grid = VolumeGrid((3, 6, 5))
    geometry = ConeGeometry.covering(grid, 7, source_to_axis=20.0, source_to_detector=30.0)
    geometry = dataclasses.replace(geometry, detector_tilt=0.05)
    y = torch.rand((2, 3, *geometry.shape), generator=generator)
    volumes = feldkamp(grid, geometry, y)
    assert (volumes.shape, volumes.dtype) == ((2, 3, 3, 6, 5), torch.float32)
    looped = torch.stack([torch.stack([feldkamp(grid, geometry, v) for v in r]) for r in y])
    torch.testing.assert_close(volumes, looped)
    # float64 to the rounding of float32
    torch.testing.assert_close(volumes.double(), feldkamp(grid, geometry, y.double()))


def test_what_is_refused():
    grid = VolumeGrid((3, 6, 5))
    geometry = ConeGeometry.covering(grid, 7, source_to_axis=20.0, source_to_detector=30.0)
    y = torch.zeros(geometry.shape)
    with pytest.raises(ValueError, match=r"feldkamp: expected trailing shape \(7, \d+, \d+\), got"):
        feldkamp(grid, geometry, y.mT)
    with pytest.raises(ValueError, match=r"expected a real floating-point tensor, got torch\.int"):
        feldkamp(grid, geometry, y.long())
    with pytest.raises(ValueError, match="unknown window 'box'"):
        feldkamp(grid, geometry, y, "box")
    with pytest.raises(ValueError, match=r"expected a circular scan, got a pitch of 2\.0 mm"):
        feldkamp(grid, dataclasses.replace(geometry, pitch=2.0), y)
    with pytest.raises(ValueError, match=r"inside the volume, which reaches 70"):
        feldkamp(VolumeGrid((3, 100, 99)), geometry, y)
