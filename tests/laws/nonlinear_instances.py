"""One list of small nonlinear operators; every law is checked on every one of them."""

from __future__ import annotations

import math

import torch

from operators import (
    Blur,
    CartesianMRI,
    FanBeam2D,
    FanGeometry,
    ImageGrid,
    NonlinearOperator,
    ParallelBeam2D,
    ParallelGeometry,
    PhaseRetrieval,
    RandomProjection,
    RealToComplex,
    UnknownCenterRadon,
    birdcage_maps,
    gaussian_psf,
)


def nonlinear_instances() -> dict[str, NonlinearOperator]:
    """Return new operators by name; a class may appear more than once."""
    maps = birdcage_maps((4, 5), 2).to(torch.complex128)
    mri = CartesianMRI(torch.ones(4, 5, dtype=torch.bool), maps)
    grid = ImageGrid((4, 3), (1.0, 1.5))
    parallel = ParallelGeometry((0.1, 1.0, 2.5, 4.0), 7, 1.1, 0.2)
    fan = FanGeometry.covering(grid, 3, source_to_axis=9.0, source_to_detector=14.0)
    projection = RandomProjection((4, 3), 9, generator=torch.Generator().manual_seed(1))
    return {
        "phase-complex": PhaseRetrieval(mri),
        "phase-complex-amplitude": PhaseRetrieval(mri, "amplitude"),
        "phase-of-real": PhaseRetrieval(mri @ RealToComplex((4, 5))),
        "phase-sign": PhaseRetrieval(projection),
        "phase-sign-amplitude": PhaseRetrieval(Blur(gaussian_psf(0.5, 3), (3, 4)), "amplitude"),
        "center-parallel": UnknownCenterRadon(ParallelBeam2D(grid, parallel), 1.1),
        "center-fan": UnknownCenterRadon(FanBeam2D(grid, fan), fan.detector_spacing),
        "center-half-turn": UnknownCenterRadon(
            ParallelBeam2D(grid, ParallelGeometry.covering(grid, 4, math.pi)), 1.0
        ),
    }
