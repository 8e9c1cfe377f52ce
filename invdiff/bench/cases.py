"""What is timed: for every case our operator, its peers, and the limit on paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from invdiff.bench import peers
from invdiff.bench.contender import Contender
from invdiff.bench.machine import Machine
from invdiff.bench.setups import BlurSetup, MRISetup, ScanSetup, of_operator, random_images
from operators import (
    Blur,
    CartesianMRI,
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    birdcage_maps,
    cartesian_lines,
    uniform_psf,
)

__all__ = ["CASES", "Case"]

_SOURCE_TO_AXIS, _SOURCE_TO_DETECTOR = 541.0, 949.0  # mm


@dataclass(frozen=True, eq=False)
class Case:
    """One comparison.

    Args:
        title: What is measured, in words.
        batch: Images at once.
        limit: Seconds for the batch below which no implementation can get.
        contenders: By name, ours first; making one may raise ``Unavailable``.
    """

    title: str
    batch: int
    limit: Callable[[Machine], float]
    contenders: dict[str, Callable[[], Contender]]


def _scan(kind: str, size: int, views: int, batch: int, machine: Machine) -> Case:
    grid = ImageGrid((size, size))
    x = random_images(batch, size, size, device=machine.device)
    operator: ParallelBeam2D | FanBeam2D
    if kind == "parallel":
        operator = ParallelBeam2D(grid, ParallelGeometry.covering(grid, views))
    else:
        operator = FanBeam2D(
            grid,
            FanGeometry.covering(
                grid, views, source_to_axis=_SOURCE_TO_AXIS, source_to_detector=_SOURCE_TO_DETECTOR
            ),
        )
    operator = operator.to(machine.device)
    setup = ScanSetup(grid, operator.geometry, x)
    models = ("linear", "strip") if kind == "parallel" else ("line", "strip")
    return Case(
        f"CT {kind} {size}^2, {views} views, batch {batch}",
        batch,
        lambda machine: _matrix_seconds(operator.num_nonzeros, batch, machine),
        {
            "invdiff": lambda: of_operator("invdiff", operator, x),
            **{f"ASTRA {m}": partial(peers.astra_scan, setup, m) for m in models},  # type: ignore[arg-type]
            "deepinv": lambda: peers.deepinv_scan(setup),
        },
    )


def _matrix_seconds(entries: int, batch: int, machine: Machine) -> float:
    """Return the time to look up an image entry per matrix entry, or to read the matrix."""
    if machine.device == "cuda":  # weights computed on the fly, once for the batch
        return entries * batch / machine.entries_per_second
    stored = 2 * entries / machine.entries_per_second  # a value and an index
    return max(stored, 2 * entries * batch / machine.flops)


def _mri(size: int, coils: int, batch: int, machine: Machine) -> Case:
    generator = torch.Generator().manual_seed(0)
    mask = cartesian_lines((size, size), 4, 0.08, generator=generator)
    maps = birdcage_maps((size, size), coils).to(machine.device)
    x = random_images(batch, size, size, device=machine.device, dtype=torch.complex64)
    setup = MRISetup(mask.to(machine.device), maps, x)
    coil_images = torch.zeros(coils, size, size, dtype=torch.complex64, device=x.device)
    return Case(
        f"MRI {coils} coils {size}^2, 4x, batch {batch}",
        batch,
        # the phase encoding only, of one image that stays in cache: lines left out cost nothing
        lambda machine: batch * machine.seconds(lambda: torch.fft.fft(coil_images)),
        {
            "invdiff": lambda: of_operator("invdiff", CartesianMRI(setup.mask, maps), x),
            "sigpy": lambda: peers.sigpy_mri(setup),
            "deepinv": lambda: peers.deepinv_mri(setup),
        },
    )


def _blur(size: int, channels: int, batch: int, machine: Machine) -> Case:
    psf = uniform_psf((9, 9)).float()
    x = random_images(batch, channels, size, size, device=machine.device)
    operator = Blur(psf, (size, size)).to(machine.device)
    setup = BlurSetup(psf, x)
    return Case(
        f"Blur 9x9, {channels}x{size}^2, batch {batch}",
        batch,
        lambda machine: 2 * x.nbytes / machine.bytes_per_second,
        {
            "invdiff": lambda: of_operator("invdiff", operator, x),
            "deepinv": lambda: peers.deepinv_blur(setup),
        },
    )


CASES: dict[str, Callable[[Machine], Case]] = {
    "ct-parallel-1": partial(_scan, "parallel", 256, 180, 1),
    "ct-parallel-16": partial(_scan, "parallel", 256, 180, 16),
    "ct-fan-16": partial(_scan, "fan", 256, 180, 16),
    "mri-16": partial(_mri, 320, 8, 16),
    "blur-16": partial(_blur, 256, 3, 16),
}
