"""Our projectors beside those of the ASTRA toolbox."""

import dataclasses

import numpy as np
import pytest
import torch

from operators import (
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    VolumeGrid,
    VolumeProjector,
)
from operators.ct.astra import AstraFan2D, AstraParallel2D, UnmatchedAstra3D
from operators.testing import check_operator
from tests.operators.ct_phantoms import disc_image
from tests.operators.volume_scans import parallel_scan

# ASTRA computes positions along a ray in float32
SAME_MODEL = 5e-5
# lengths in pixels against values interpolated, or averaged over an element
OTHER_MODEL = 3e-3
GRID = ImageGrid((256, 256), (0.8, 0.8))
# no rays along borders between pixels, where either side is right
PARALLEL = ParallelGeometry(tuple(np.linspace(0.05, 3.0, 12)), 364, 0.8, detector_offset=0.15)
FAN = FanGeometry(
    tuple(np.linspace(0.01, 6.2, 12)), 500, 1.0, source_to_axis=300.0, source_to_detector=450.0
)


@pytest.fixture(scope="module")
def image():
    """A sum of discs with edges two or three pixels wide."""
    discs = [(1.0, 80, (0, 0)), (-0.6, 70, (0, 0)), (0.5, 20, (25, -20)), (-0.3, 30, (-10, -30))]
    sharp = sum(value * disc_image(GRID, radius, centre) for value, radius, centre in discs)
    return torch.nn.functional.avg_pool2d(sharp[None], 3, stride=1, padding=1)[0]


def distance(actual, expected):
    return float(torch.linalg.vector_norm(actual - expected) / torch.linalg.vector_norm(expected))


def mean_of_rays(cls, geometry, image, rays):
    """Mean of so many of our rays over every detector element."""
    number, pitch = geometry.num_detectors * rays, geometry.detector_spacing / rays
    fine = dataclasses.replace(geometry, num_detectors=number, detector_spacing=pitch)
    return cls(GRID, fine)(image).unflatten(-1, (geometry.num_detectors, rays)).mean(-1)


@pytest.mark.parametrize(
    ("model", "rays", "tolerance"),
    [("line", 1, SAME_MODEL), ("linear", 1, OTHER_MODEL), ("strip", 3, OTHER_MODEL)],
)
def test_parallel_beams_agree(model, rays, tolerance, image):
    ours = mean_of_rays(ParallelBeam2D, PARALLEL, image, rays)
    assert distance(ours, AstraParallel2D(GRID, PARALLEL, model)(image)) < tolerance


@pytest.mark.parametrize(
    ("model", "rays", "tolerance"), [("line", 1, SAME_MODEL), ("strip", 3, OTHER_MODEL)]
)
def test_fan_beams_agree(model, rays, tolerance, image):
    ours = mean_of_rays(FanBeam2D, FAN, image, rays)
    assert distance(ours, AstraFan2D(GRID, FAN, model)(image)) < tolerance


def test_an_offset_fan_agrees(image):
    geometry = dataclasses.replace(FAN, detector_offset=-3.2)
    ours, theirs = FanBeam2D(GRID, geometry), AstraFan2D(GRID, geometry)
    assert distance(ours(image), theirs(image)) < SAME_MODEL


def test_one_slice_of_a_volume_is_astras_linear_model(image):
    geometry = dataclasses.replace(PARALLEL, detector_offset=0.0)
    grid = VolumeGrid((1, *GRID.shape), (1.0, *GRID.pixel_size))
    scan = parallel_scan(geometry.angles, (1, geometry.num_detectors), (1.0, 0.8))
    ours = VolumeProjector(grid, scan)(image[None])[:, 0]
    assert distance(ours, AstraParallel2D(GRID, geometry, "linear")(image)) < SAME_MODEL


def test_they_obey_the_laws(generator):
    grid = ImageGrid((6, 5), (0.7, 0.7))
    for model in ("linear", "line", "strip"):
        check_operator(
            AstraParallel2D(grid, ParallelGeometry.covering(grid, 4), model), generator=generator
        )
    fan = FanGeometry.covering(grid, 3, source_to_axis=9.0, source_to_detector=14.0)
    for model in ("line", "strip"):
        check_operator(AstraFan2D(grid, fan, model), generator=generator)


def test_what_astra_lacks_is_refused():
    flat = ImageGrid((6, 6), (1.0, 0.5))
    with pytest.raises(ValueError, match=r"AstraParallel2D: pixels must be square, got \(1.0, 0."):
        AstraParallel2D(flat, PARALLEL)
    with pytest.raises(ValueError, match="AstraFan2D: pixels must be square"):
        AstraFan2D(flat, FAN)
    with pytest.raises(ValueError, match=r"expected a model of \('line', 'strip'\), got 'linear'"):
        AstraFan2D(GRID, FAN, "linear")
    with pytest.raises(ValueError, match="the strip model needs detector_offset 0"):
        AstraFan2D(GRID, dataclasses.replace(FAN, detector_offset=1.0), "strip")
    with pytest.raises(ValueError, match="inside the image"):
        AstraFan2D(GRID, dataclasses.replace(FAN, source_to_axis=50.0))


def test_a_bent_detector_is_refused():
    class Bent(FanGeometry):
        def rays(self):
            source, direction = super().rays()
            return source, np.roll(direction, 1, axis=1)

    bent = Bent(**{f.name: getattr(FAN, f.name) for f in dataclasses.fields(FAN)})
    with pytest.raises(ValueError, match="must be flat, across the central ray"):
        AstraFan2D(GRID, bent)


@pytest.mark.skipif(torch.cuda.is_available(), reason="ASTRA may find the device")
def test_volumes_need_a_device():
    with pytest.raises(ValueError, match="finds no CUDA device"):
        UnmatchedAstra3D(VolumeGrid((2, 2, 2)), parallel_scan((0.0,), (2, 2)))
