import math

import pytest
import torch

from operators import (
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    filtered_backprojection,
)
from tests.operators.ct_phantoms import disc_image, disc_sinogram, scans

GRID = ImageGrid((128, 128))
WINDOWS = ["ramp", "shepp-logan", "cosine", "hamming", "hann"]


def projector(grid, geometry):
    return (FanBeam2D if isinstance(geometry, FanGeometry) else ParallelBeam2D)(grid, geometry)


def inside(grid, radius, centre=(0, 0)):
    x, y = (torch.from_numpy(c) for c in grid.coordinates())
    return (x - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2 < radius**2


@pytest.mark.parametrize("kind", [0, 1], ids=["parallel", "fan"])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (15.0, -9.0)])
def test_disc_becomes_one_inside_and_zero_outside(kind, centre):
    geometry = scans(GRID, 360)[kind]
    image = filtered_backprojection(projector(GRID, geometry), disc_sinogram(geometry, 35, centre))
    core, near = inside(GRID, 31, centre), inside(GRID, 39, centre)
    assert abs(image[core].mean() - 1) < 0.002
    assert (image[core] - 1).abs().max() < 0.01
    # outside are the streaks of a sinogram sampled, and not averaged, over the elements
    assert image[~near & inside(GRID, 62)].abs().max() < 0.03


@pytest.mark.parametrize("kind", [0, 1], ids=["parallel", "fan"])
def test_an_off_centre_object_is_at_its_place(kind):
    """Right of the centre and above it: a column past the middle, a row before it."""
    grid = ImageGrid((64, 48), (1.0, 1.5))
    geometry = scans(grid, 180)[kind]
    sinogram = disc_sinogram(geometry, 5, (18.0, 11.0))
    image = filtered_backprojection(projector(grid, geometry), sinogram)
    x, y = (torch.from_numpy(c) for c in grid.coordinates())
    weight = torch.where(image > 0.5, image, 0.0)
    assert float((weight * x).sum() / weight.sum()) == pytest.approx(18, abs=0.1)
    assert float((weight * y[:, None]).sum() / weight.sum()) == pytest.approx(11, abs=0.1)


def test_an_offset_detector_is_accounted_for():
    """A detector 20 mm off the axis sees a disc on its side, which must not move."""
    angles = tuple(k * math.pi / 360 for k in range(720))
    geometry = ParallelGeometry(angles, 100, 1.0, detector_offset=20.0)
    operator = ParallelBeam2D(GRID, geometry)
    image = filtered_backprojection(operator, disc_sinogram(geometry, 25))
    assert (image[inside(GRID, 21)] - 1).abs().max() < 0.01


def test_the_filter_does_not_wrap_around_the_detector():
    """A disc as wide as a detector of a power of two elements: no room but the padding."""
    grid = ImageGrid((90, 90))
    geometry = ParallelGeometry(ParallelGeometry.covering(grid, 200).angles, 64, 1.0)
    image = filtered_backprojection(ParallelBeam2D(grid, geometry), disc_sinogram(geometry, 31))
    assert (image[inside(grid, 27)] - 1).abs().max() < 0.01


@pytest.mark.parametrize("kind", [0, 1], ids=["parallel", "fan"])
def test_it_inverts_the_projector(kind):
    geometry = scans(GRID, 360)[kind]
    operator = projector(GRID, geometry)
    image = filtered_backprojection(operator, operator(disc_image(GRID, 35)))
    assert (image[inside(GRID, 31)] - 1).abs().max() < 0.02


@pytest.mark.parametrize("window", WINDOWS)
def test_no_window_changes_the_mean(window):
    """Every window is 1 at zero frequency."""
    geometry = ParallelGeometry.covering(GRID, 360)
    sinogram = disc_sinogram(geometry, 35)
    image = filtered_backprojection(ParallelBeam2D(GRID, geometry), sinogram, window)
    assert float(image[inside(GRID, 31)].mean()) == pytest.approx(1, abs=0.003)


def test_windows_pass_less_and_less_noise(generator):
    geometry = ParallelGeometry.covering(GRID, 60)
    operator = ParallelBeam2D(GRID, geometry)
    noise = torch.randn(operator.out_shape, generator=generator)
    deviations = [float(filtered_backprojection(operator, noise, w).std()) for w in WINDOWS]
    # by the integral of |f|^2 W^2: cosine and hamming lie close
    assert deviations[0] > deviations[1] > deviations[2] > deviations[3] > deviations[4]


@pytest.mark.parametrize("kind", [0, 1], ids=["parallel", "fan"])
def test_batch_is_a_loop_and_the_dtype_stays(kind, generator):
    grid = ImageGrid((20, 16))
    operator = projector(grid, scans(grid, 9)[kind])
    y = torch.rand((2, 3, *operator.out_shape), generator=generator)
    images = filtered_backprojection(operator, y)
    assert (images.shape, images.dtype) == ((2, 3, 20, 16), torch.float32)
    looped = torch.stack(
        [torch.stack([filtered_backprojection(operator, v) for v in r]) for r in y]
    )
    torch.testing.assert_close(images, looped)


def test_wrong_sinograms_and_windows():
    grid = ImageGrid((6, 6))
    operator = ParallelBeam2D(grid, ParallelGeometry.covering(grid, 4))
    with pytest.raises(ValueError, match=r"expected trailing shape \(4, 9\), got \(9, 4\)"):
        filtered_backprojection(operator, torch.zeros(9, 4))
    with pytest.raises(ValueError, match="expected a real floating-point tensor"):
        filtered_backprojection(operator, torch.zeros(4, 9, dtype=torch.int64))
    with pytest.raises(ValueError, match="unknown window 'box', expected one of"):
        filtered_backprojection(operator, torch.zeros(4, 9), "box")
