"""CT: projections of images and of volumes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from invdiff.bench import peers
from invdiff.bench.case import Case
from invdiff.bench.contender import Contender, Unavailable
from invdiff.bench.machine import Machine
from invdiff.bench.setups import ScanSetup, of_operator, random_images
from operators import (
    ConeBeam3D,
    ConeGeometry,
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    MatrixFreeBeam2D,
    ParallelBeam2D,
    ParallelGeometry,
    VolumeGrid,
)

__all__ = ["cone", "scan"]

_MOST_ENTRIES = 10**8  # of a stored matrix: 1.6 GB in both directions
_SOURCE_TO_AXIS, _SOURCE_TO_DETECTOR = 541.0, 949.0  # mm


def scan(kind: str, size: int, views: int, batch: int, machine: Machine) -> Case:
    """Project images along parallel rays or a fan, beside ASTRA and deepinv."""
    grid = ImageGrid((size, size))
    x = random_images(batch, size, size, device=machine.device)
    geometry = _geometry(kind, grid, views)
    setup = ScanSetup(grid, geometry, x)
    models = ("linear", "strip") if kind == "parallel" else ("line", "strip")
    # pixels that all rays cross: 4 / pi to a pixel's length of a ray, on average over angles
    entries = round(views * size**2 * 4 / math.pi)
    matrix_free = {} if machine.device == "cpu" else {"invdiff matrix-free": _matrix_free(setup)}
    return Case(
        f"CT {kind} {size}^2, {views} views, batch {batch}",
        batch,
        lambda machine: _matrix_seconds(entries, batch, machine),
        {
            "invdiff": lambda: of_operator("invdiff", _stored(setup, entries), x),
            **matrix_free,
            **{f"ASTRA {m}": partial(peers.astra_scan, setup, m) for m in models},  # type: ignore[arg-type]
            "deepinv": lambda: peers.deepinv_scan(setup),
        },
    )


def _geometry(kind: str, grid: ImageGrid, views: int) -> ParallelGeometry | FanGeometry:
    if kind == "parallel":
        return ParallelGeometry.covering(grid, views)
    near, far = _SOURCE_TO_AXIS, _SOURCE_TO_DETECTOR
    return FanGeometry.covering(grid, views, source_to_axis=near, source_to_detector=far)


def _stored(setup: ScanSetup, entries: int) -> ParallelBeam2D | FanBeam2D:
    if entries > _MOST_ENTRIES:
        raise Unavailable("the matrix is too large to store")
    if isinstance(setup.geometry, FanGeometry):
        return FanBeam2D(setup.grid, setup.geometry).to(setup.x.device)
    return ParallelBeam2D(setup.grid, setup.geometry).to(setup.x.device)


def _matrix_free(setup: ScanSetup) -> Callable[[], Contender]:
    def make() -> Contender:
        operator = MatrixFreeBeam2D(setup.grid, setup.geometry).to(setup.x.device)
        return of_operator("invdiff matrix-free", operator, setup.x)

    return make


def _matrix_seconds(entries: int, batch: int, machine: Machine) -> float:
    """Return the time to look up an image entry per matrix entry, or to read the matrix."""
    if machine.device == "cuda":  # weights computed on the fly, once for the batch
        return entries * batch / machine.entries_per_second
    stored = 2 * entries / machine.entries_per_second  # a value and an index
    return max(stored, 2 * entries * batch / machine.flops)


def cone(size: int, views: int, detector: int, machine: Machine) -> Case:
    """Project a volume from a point source on a circle, beside ASTRA on a GPU."""
    grid = VolumeGrid((size, size, size))
    pitch = 3.0 * size / detector
    geometry = ConeGeometry(
        tuple(2 * math.pi * v / views for v in range(views)),
        (detector, detector),
        (pitch, pitch),
        source_to_axis=4.0 * size,
        source_to_detector=6.0 * size,
    )
    x = random_images(size, size, size, device=machine.device)
    rays = views * detector**2
    return Case(
        f"CT cone beam {size}^3, {views} views of {detector}^2",
        1,
        # four voxels in each of the planes that a ray crosses
        lambda machine: 4 * rays * size / machine.entries_per_second,
        {
            "invdiff": lambda: of_operator("invdiff", ConeBeam3D(grid, geometry), x),
            "ASTRA CUDA": lambda: peers.astra_cone(grid, geometry, x),
        },
    )
