from __future__ import annotations

import numpy as np
import pytest

from operators.ct.frames import ray_frames
from operators.ct.volume import ScanVectors, VolumeGrid

GRID = VolumeGrid((3, 4, 5), (1.3, 0.8, 1.1))
SCANS = {
    "parallel": ("parallel", [[0.4, 0.9, 0.1], [0.3, -0.2, 0.9]], [[0.1, 0.2, 0.3], [0.2, 0.1, 0]]),
    "cone": ("cone", [[-8.0, 1.0, 2.0], [1.0, 9.0, 1.0]], [[9.0, 1.0, 0.0], [0.3, -8.0, 0.5]]),
}
U, V = [[0.1, 1.1, 0.0], [0.9, 0.2, 0.1]], [[0.2, 0.1, 0.8], [0.0, 0.7, 1.0]]


@pytest.mark.parametrize(("kind", "emitter", "centre"), SCANS.values(), ids=SCANS.keys())
def test_frames_describe_the_rays(kind, emitter, centre):
    scan = ScanVectors(kind, *(np.array(a) for a in (emitter, centre, U, V)), (4, 6))
    frames = ray_frames(GRID, scan, reach=1.0)
    assert set(frames.views.tolist()) == {0, 1}
    scale = np.array([1, -1, 1]) / np.array(GRID.voxel_size)[::-1]
    for values, view, axis in zip(frames.values.numpy(), frames.views, frames.axes, strict=True):
        order = [int(axis), *(a for a in range(3) if a != axis)]
        for column, row in ((0, 0), (5, 3), (2, 1)):
            c, r = column - 2.5, row - 1.5
            pixel = scan.centre[view] + c * scan.u[view] + r * scan.v[view]
            start = scan.emitter[view]
            direction = (pixel - start if kind == "cone" else start) * scale
            a, b, d, moment_b, moment_d = values[:15].reshape(5, 3) @ [1, c, r]
            np.testing.assert_allclose([a, b, d], direction[order], atol=1e-12)
            point = (pixel * scale + 0.37 * direction)[order]
            crossing = (point[0] * np.array([b, d]) + [moment_b, moment_d]) / a
            np.testing.assert_allclose(crossing, point[1:], atol=1e-12)
            # what lies on the ray has its shadow there
            across, down, depth = values[15:].reshape(3, 4) @ [1, *point]
            np.testing.assert_allclose([across / depth, down / depth], [column, row], atol=1e-12)


def test_no_ray_is_without_a_frame_of_its_main_axis():
    scan = ScanVectors("cone", *(np.array(a[:1]) for a in (*SCANS["cone"][1:], U, V)), (40, 60))
    frames = ray_frames(GRID, scan, reach=1.0)
    r, c = (a - np.array([[19.5]]) for a in np.mgrid[:40, :60])
    direction = frames.directions[0, :9].reshape(3, 3).numpy() @ np.stack(
        [np.ones(r.size), (c - 10).ravel(), r.ravel()]
    )
    assert set(np.abs(direction).argmax(axis=0)) <= set(frames.axes.tolist())


def test_a_volume_that_reaches_behind_the_source_is_refused():
    kind, emitter, centre = SCANS["cone"]
    scan = ScanVectors(kind, *(np.array(a) for a in (emitter, centre, U, V)), (4, 6))
    with pytest.raises(ValueError, match="source of view 0 is inside or behind the volume"):
        ray_frames(VolumeGrid((3, 4, 16)), scan, reach=1.0)
