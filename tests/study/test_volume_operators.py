"""What a configuration of a volume's measurement builds."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from invdiff.study.volume_operators import VolumeOperatorConfig
from operators import (
    CartesianMRI,
    ConeBeam3D,
    FanBeam2D,
    ImageGrid,
    ParallelBeam2D,
    ParallelBeam3D,
    ParallelGeometry,
    SliceStack,
    VolumeGrid,
)

SHAPE = (5, 8, 12)
GRID = VolumeGrid(SHAPE, (3.0, 1.0, 1.5))
CONFIG = TypeAdapter(VolumeOperatorConfig)


def config(**values):
    return CONFIG.validate_python(values)


def built(**values):
    return config(**values).build(GRID, torch.Generator().manual_seed(0))


EVERY = [
    {"kind": "stack", "operator": {"kind": "ct-parallel", "views": 4}},
    {"kind": "stack", "operator": {"kind": "ct-fan", "views": 4}},
    {"kind": "stack", "operator": {"kind": "mri-cartesian", "acceleration": 2}},
    {"kind": "ct-parallel-3d", "views": 4},
    {"kind": "ct-cone", "views": 4},
    {"kind": "ct-cone", "views": 4, "pitch": 20.0},
    {"kind": "mri-cartesian-3d", "acceleration": 2},
]


@pytest.mark.parametrize("values", EVERY, ids=lambda v: v["kind"])
def test_every_kind_measures_real_volumes(values):
    operator = built(**values)
    assert operator.in_shape == SHAPE
    assert not operator.in_complex
    y = operator(torch.ones(SHAPE))
    assert y.shape == operator.out_shape
    assert y.abs().max() > 0
    # the resolved configuration is what provenance holds, and what a run can be repeated from
    again = CONFIG.validate_json(CONFIG.dump_json(config(**values)))
    assert again == config(**values)


def test_a_stack_scans_every_slice_on_its_own_grid(generator):
    operator = built(kind="stack", operator={"kind": "ct-parallel", "views": 4})
    assert isinstance(operator, SliceStack)
    pixels = ImageGrid(SHAPE[1:], GRID.voxel_size[1:])
    single = ParallelBeam2D(pixels, ParallelGeometry.covering(pixels, 4))
    x = torch.rand(SHAPE, generator=generator)
    torch.testing.assert_close(operator(x), torch.stack([single(s) for s in x]))


def test_a_stack_takes_any_scan_of_an_image():
    fan = built(kind="stack", operator={"kind": "ct-fan", "views": 4, "detectors": 7})
    assert isinstance(fan.operator, FanBeam2D)
    assert fan.out_shape == (5, 4, 7)
    blur = built(kind="stack", operator={"kind": "blur", "psf": {"kind": "gaussian"}})
    assert blur.out_shape == SHAPE


def test_the_panel_is_what_was_asked_for():
    asked = {"detector_shape": (3, 4), "detector_spacing": (2.5, 0.5), "detector_offset": (1, 2)}
    for kind, projector in (("ct-cone", ConeBeam3D), ("ct-parallel-3d", ParallelBeam3D)):
        operator = built(kind=kind, views=6, **asked)
        assert isinstance(operator, projector)
        assert operator.out_shape == (6, 3, 4)
        assert {name: getattr(operator.geometry, name) for name in asked} == asked


def test_distances_and_arc_of_a_cone_beam():
    operator = built(kind="ct-cone", views=4, arc=math.pi, source_to_axis=30, source_to_detector=45)
    geometry = operator.geometry
    assert (geometry.source_to_axis, geometry.source_to_detector) == (30, 45)
    assert geometry.angles == pytest.approx([k * math.pi / 4 for k in range(4)])
    assert config(kind="ct-cone", views=4).build(GRID, None).geometry.angles[1] == pytest.approx(
        math.pi / 2
    )


def test_a_pitch_makes_a_helix():
    scan = {"kind": "ct-cone", "views": 8, "pitch": 12.0, "source_to_axis": 60.0}
    geometry = built(**scan).geometry
    assert geometry.pitch == 12
    assert geometry.angles[8] - geometry.angles[0] == pytest.approx(2 * math.pi)
    assert len(geometry.angles) > 8
    with pytest.raises(ValidationError, match="arc: is for a circle"):
        config(**scan, arc=3.0)


@pytest.mark.parametrize("pattern", ["poisson-disc", "random"])
@pytest.mark.parametrize(("readout", "axis"), [("slices", 0), ("rows", 1), ("columns", 2)])
def test_kspace_is_left_out_along_both_phase_encoding_axes(pattern, readout, axis):
    grid = VolumeGrid((12, 16, 20))
    settings = {"acceleration": 4, "center_fraction": 0.2, "coils": 3}
    scan = config(kind="mri-cartesian-3d", pattern=pattern, readout=readout, **settings)
    operator = scan.build(grid, torch.Generator().manual_seed(0))
    mri = operator.outer
    assert isinstance(mri, CartesianMRI)
    assert mri.out_shape[0] == 3
    plane = mri.mask.select(axis, 0)
    assert torch.equal(mri.mask, plane.unsqueeze(axis).expand(grid.shape))
    assert int(plane.sum()) == round(plane.numel() / 4)
    centre = tuple(slice(n // 2 - 1, n // 2 + 1) for n in plane.shape)
    assert plane[centre].all()
    # no axis of the plane is left out by whole lines alone
    for dim in (0, 1):
        share = plane.float().mean(dim)
        assert ((share > 0) & (share < 1)).any()


def test_patterns_are_drawn_by_the_generator():
    masks = [
        config(kind="mri-cartesian-3d", pattern=pattern)
        .build(VolumeGrid((16, 4, 16)), torch.Generator().manual_seed(seed))
        .outer.mask
        for pattern, seed in [("poisson-disc", 0), ("poisson-disc", 0), ("poisson-disc", 1)]
    ]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_points_of_a_poisson_disc_pattern_keep_their_distance():
    def neighbours(pattern, edge_ratio):
        density = {"pattern": pattern, "edge_ratio": edge_ratio, "acceleration": 8}
        scan = config(kind="mri-cartesian-3d", center_fraction=0, coils=1, **density)
        mask = scan.build(VolumeGrid((32, 2, 32)), torch.Generator().manual_seed(0)).outer.mask
        plane = mask[:, 0]
        return int((plane[1:] & plane[:-1]).sum() + (plane[:, 1:] & plane[:, :-1]).sum())

    assert neighbours("poisson-disc", 1) == 0
    # denser in the centre: there are neighbours there
    assert neighbours("poisson-disc", 4) > 0
    assert neighbours("random", 1) > 0


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"kind": "cone", "views": 4}, "kind"),
        ({"kind": "ct-cone"}, "views"),
        ({"kind": "ct-cone", "views": 4, "pitch": math.inf}, "pitch"),
        ({"kind": "ct-parallel-3d", "views": 4, "detector_shape": (3, 0)}, "detector_shape"),
        ({"kind": "mri-cartesian-3d", "acceleration": 0.5}, "acceleration"),
        ({"kind": "mri-cartesian-3d", "readout": "depth"}, "readout"),
        ({"kind": "stack", "operator": {"kind": "ct-cone", "views": 4}}, "ct-cone"),
        ({"kind": "stack", "operator": {"kind": "ct-fan", "views": 4}, "slices": 3}, "slices"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values, key):
    with pytest.raises(ValidationError, match=key):
        config(**values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (EVERY[0], "4 parallel-beam views over 180 degrees, of every slice"),
        (EVERY[3], "4 parallel-beam views over 180 degrees"),
        (EVERY[4], "4 cone-beam views over 360 degrees"),
        (EVERY[5], "helical cone-beam CT, 4 views and 20 mm per turn"),
        (EVERY[6], "2x undersampled 3D k-space of 8 coils"),
    ],
)
def test_descriptions_say_what_is_measured(values, words):
    assert words in config(**values).describe()
