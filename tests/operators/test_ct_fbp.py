import dataclasses
import math

import numpy as np
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
from tests.operators.scan_phantoms import chords

GRID = ImageGrid((128, 128))
SMALL = ImageGrid((88, 88))
VIEWS = 240
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


def fan(**detector):
    distances = {"source_to_axis": 180.0, "source_to_detector": 300.0}
    return FanGeometry.covering(SMALL, VIEWS, **distances, **detector)


def half_detector(geometry):
    """Two thirds of the detector, shifted so that only the middle is seen from both sides."""
    kept = round(0.65 * geometry.num_detectors)
    shift = (geometry.num_detectors - kept) / 2 * geometry.detector_spacing
    return dataclasses.replace(geometry, num_detectors=kept, detector_offset=shift)


def over(geometry, angles):
    return dataclasses.replace(geometry, angles=tuple(angles))


def scans_by_name():
    parallel = ParallelGeometry.covering(SMALL, VIEWS)
    turn = ParallelGeometry.covering(SMALL, VIEWS, 2 * math.pi)
    flat, curved, tilted = fan(), fan(detector="curved"), fan(detector_tilt=0.3)
    quarter = flat.detector_spacing / 4
    return {
        "parallel-from-1": over(parallel, np.array(parallel.angles) + 1),
        "parallel-golden": over(parallel, np.arange(VIEWS) * 2.39996),
        "parallel-three-quarters": ParallelGeometry.covering(SMALL, VIEWS, 1.5 * math.pi),
        "parallel-both-ends": over(parallel, np.linspace(0, math.pi, VIEWS)),
        "parallel-half-detector": half_detector(turn),
        "curved": curved,
        "tilted": tilted,
        "flat-short": flat.short_scan(VIEWS, 0.4),
        "curved-short": curved.short_scan(VIEWS, 0.4),
        "tilted-short": tilted.short_scan(VIEWS, 0.4),
        "flat-clockwise": over(flat, flat.short_scan(VIEWS).angles[::-1]),
        "curved-more-than-short": over(curved, np.linspace(0, 5.2, VIEWS)),
        "flat-quarter-offset": dataclasses.replace(flat, detector_offset=quarter),
        "flat-half-detector": half_detector(flat),
        "curved-half-detector": half_detector(curved),
        "tilted-half-detector": half_detector(tilted),
    }


@pytest.mark.parametrize("name", scans_by_name())
def test_every_complete_scan_gives_the_disc(name):
    geometry, centre = scans_by_name()[name], (12.0, -9.0)
    sinogram = chords(*geometry.rays(), 25, centre)
    image = filtered_backprojection(projector(SMALL, geometry), sinogram)
    core, near = inside(SMALL, 21, centre), inside(SMALL, 29, centre)
    assert abs(image[core].mean() - 1) < 0.002
    assert (image[core] - 1).abs().max() < 0.01
    # streaks of a sinogram sampled, and not averaged, over the elements
    assert image[~near & inside(SMALL, 43)].abs().max() < 0.04


def test_a_limited_scan_keeps_the_edges_that_it_sees():
    """Vertical rays within 50 degrees: edges along them are sharp, the others are lost."""
    arc = math.radians(100)
    geometry = ParallelGeometry.covering(SMALL, VIEWS, arc, start=-arc / 2)
    image = filtered_backprojection(
        projector(SMALL, geometry), chords(*geometry.rays(), 25, (0, 0)), "ramp"
    )
    middle = SMALL.shape[0] // 2
    side, top = image[middle].diff().abs().max(), image[:, middle].diff().abs().max()
    assert side > 0.6
    assert top < 0.2


def test_limited_fans_count_a_line_once():
    """Within the arc of pi the weights of lines seen twice matter: the disc is off-centre."""
    wide = fan(detector="curved")
    short = wide.short_scan(VIEWS)
    step = short.angles[1]
    needed = step * VIEWS
    limited = over(wide, np.arange(VIEWS) * step * (needed - 1e-3) / needed)
    sinograms = [chords(*g.rays(), 25, (12.0, -9.0)) for g in (short, limited)]
    images = [
        filtered_backprojection(projector(SMALL, g), y)
        for g, y in zip((short, limited), sinograms, strict=True)
    ]
    # the two weightings differ, but both count every line once
    core = inside(SMALL, 21, (12.0, -9.0))
    torch.testing.assert_close(images[1][core], images[0][core], rtol=0, atol=0.02)


def test_a_truncated_view_still_shows_the_inside():
    """Half the disc's width is seen: the values are off by a smooth cup, not the edges of holes."""
    whole = ParallelGeometry.covering(SMALL, VIEWS)
    narrow = whole.with_field_of_view(40.0)
    image = filtered_backprojection(
        projector(SMALL, narrow),
        chords(*narrow.rays(), 40, (0, 0)) - chords(*narrow.rays(), 5, (6, 0)),
    )
    hole, beside = image[inside(SMALL, 3, (6, 0))].mean(), image[inside(SMALL, 3, (-6, 0))].mean()
    assert beside - hole == pytest.approx(1, abs=0.02)


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
