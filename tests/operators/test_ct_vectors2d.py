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
    VectorBeam2D,
    VectorGeometry2D,
    filtered_backprojection,
    from_astra_vectors,
    to_astra_vectors,
)

GRID = ImageGrid((7, 6), (1.0, 1.3))
ANGLES = (0.0, 0.7, 2.9, 4.0)
FAN = {"source_to_axis": 20.0, "source_to_detector": 31.0}
GEOMETRIES = {
    "parallel": ParallelGeometry(ANGLES, 9, 1.1, 0.4),
    "fan": FanGeometry(ANGLES, 9, 1.7, 0.4, **FAN),
    "tilted": FanGeometry(ANGLES, 9, 1.7, 0.4, detector_tilt=0.2, **FAN),
}
EVERY = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())


@EVERY
def test_vectors_have_the_rays_of_the_geometry(geometry):
    points, directions = geometry.vectors().rays()
    expected_points, expected_directions = geometry.rays()
    np.testing.assert_allclose(points, expected_points, atol=1e-12)
    np.testing.assert_allclose(directions, expected_directions, atol=1e-12)
    assert geometry.vectors().shape == geometry.shape


@EVERY
def test_projectors_agree(geometry, generator):
    x = torch.rand((7, 6), generator=generator, dtype=torch.float64)
    named = (FanBeam2D if isinstance(geometry, FanGeometry) else ParallelBeam2D)(GRID, geometry)
    # entries are rounded to float32
    torch.testing.assert_close(
        VectorBeam2D(GRID, geometry.vectors())(x), named(x), atol=1e-5, rtol=0
    )


@EVERY
def test_astra_vectors_come_back(geometry):
    vectors = to_astra_vectors(geometry)
    assert vectors.shape == (4, 6)
    back = from_astra_vectors(vectors, (9,), geometry.vectors().kind)
    for name in ("emitter", "centre", "u"):
        np.testing.assert_array_equal(getattr(back, name), getattr(geometry.vectors(), name))
    assert back.shape == geometry.shape


def test_vectors_are_those_of_astra():
    astra = pytest.importorskip("astra")
    fan = FanGeometry(ANGLES, 9, 1.7, **FAN)
    parallel = ParallelGeometry(ANGLES, 9, 1.1)
    theirs = [
        astra.create_proj_geom("fanflat", 1.7, 9, np.array(ANGLES), 20.0, 11.0),
        astra.create_proj_geom("parallel", 1.1, 9, np.array(ANGLES)),
    ]
    fan_vectors, parallel_vectors = (astra.geom_2vec(g)["Vectors"] for g in theirs)
    np.testing.assert_allclose(to_astra_vectors(fan), fan_vectors, atol=1e-12)
    # ASTRA's parallel rays run the other way, along the same lines
    sign = np.array([-1, -1, 1, 1, 1, 1])
    np.testing.assert_allclose(to_astra_vectors(parallel), sign * parallel_vectors, atol=1e-12)


def test_astra_projects_the_same_lines(generator):
    """Upright images agree: in 2D ASTRA too has row 0 at the top."""
    astra = pytest.importorskip("astra")
    geometry = GEOMETRIES["tilted"]
    pixels = astra.create_vol_geom(7, 6)
    scan = astra.create_proj_geom("fanflat_vec", 9, to_astra_vectors(geometry))
    projector = astra.create_projector("line_fanflat", scan, pixels)
    image = torch.rand((7, 6), generator=generator)
    identifier, theirs = astra.create_sino(image.numpy(), projector)
    astra.data2d.delete(identifier)
    astra.projector.delete(projector)
    torch.testing.assert_close(
        FanBeam2D(ImageGrid((7, 6)), geometry)(image), torch.from_numpy(theirs)
    )


def test_a_source_within_the_image_or_turned_away_is_refused():
    def scan(source, centre):
        return VectorGeometry2D("fan", [source], [centre], [(1.0, 0.0)], 3)

    VectorBeam2D(GRID, scan((0.0, -9.0), (0.0, 9.0)))
    with pytest.raises(ValueError, match="inside the image"):
        VectorBeam2D(GRID, scan((0.0, -3.0), (0.0, 9.0)))
    with pytest.raises(ValueError, match="a ray leads away from the image"):
        VectorBeam2D(GRID, scan((0.0, -9.0), (0.0, -19.0)))


def test_no_closed_form_inverts_vectors():
    operator = VectorBeam2D(GRID, GEOMETRIES["fan"].vectors())
    with pytest.raises(ValueError, match="expected ParallelBeam2D or FanBeam2D, got VectorBeam2D"):
        filtered_backprojection(operator, torch.zeros(operator.out_shape))


def test_curved_detectors_have_no_vectors():
    curved = FanGeometry(ANGLES, 9, 1.7, detector="curved", **FAN)
    with pytest.raises(ValueError, match="a curved detector has no vectors"):
        curved.vectors()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "cone"}, "must be parallel or fan, got 'cone'"),
        ({"num_detectors": 0}, "num_detectors must be positive, got 0"),
        ({"emitter": np.zeros((0, 2))}, r"emitter: expected \(views, 2\) with a view"),
        ({"centre": np.zeros((2, 2))}, r"centre: expected \(views, 2\)"),
        ({"u": np.zeros((1, 3))}, r"u: expected \(views, 2\)"),
        ({"u": np.array([[math.nan, 0.0]])}, "u: not finite"),
        ({"u": np.array([[0.0, 1.0]])}, "degenerate, or parallel"),
        ({"emitter": np.array([[0.0, 9.0]])}, "degenerate, or parallel"),
    ],
)
def test_vectors_that_cannot_be(change, message):
    fields = {
        "kind": "fan",
        "emitter": np.array([[0.0, -9.0]]),
        "centre": np.array([[0.0, 9.0]]),
        "u": np.array([[1.0, 0.0]]),
        "num_detectors": 3,
    }
    with pytest.raises(ValueError, match=message):
        VectorGeometry2D(**(fields | change))


def test_astra_vectors_that_cannot_be():
    with pytest.raises(ValueError, match=r"expected vectors \(views, 6\) .* got \(4, 12\)"):
        from_astra_vectors(np.zeros((4, 12)), (3,), "fan")
    with pytest.raises(ValueError, match=r"expected vectors \(views, 6\) .* got \(4, 6\)"):
        from_astra_vectors(np.zeros((4, 6)), (3, 3), "cone")
    with pytest.raises(ValueError, match="kind cone has no vectors of 6 columns"):
        from_astra_vectors(np.zeros((4, 6)), (3,), "cone")
    with pytest.raises(ValueError, match="kind fan has no vectors of 12 columns"):
        from_astra_vectors(np.zeros((4, 12)), (3, 3), "fan")
