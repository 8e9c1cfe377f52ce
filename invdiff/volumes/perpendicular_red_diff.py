"""RED-diff whose planes in all directions follow the prior."""

from __future__ import annotations

from collections.abc import Callable

from invdiff.priors.denoiser import Denoiser
from invdiff.volumes.perpendicular import PerpendicularPrior
from invdiff.volumes.red_diff import RedDiff3D

__all__ = ["perpendicular_red_diff"]

# the axial planes are among those of the coupling, on finer pixels: what the sampler itself
# denoises, on coarse ones, would only bias them
_STRENGTH = 999.0


def perpendicular_red_diff(
    denoiser_of: Callable[[tuple[int, int]], Denoiser],
    spacing: tuple[float, float, float],
    *,
    num_steps: int = 14,
    sigma_max: float = 0.17,
    sigma_min: float = 0.025,
    regularization: float = 0.7,
    relaxation: float = 0.35,
    zoom: float = 2.0,
) -> RedDiff3D:
    """Return RED-diff with axial, coronal and sagittal planes in turn, to refine a volume.

    It goes on from slices that an earlier run found, ``sample(..., start=...)``: its high
    precision of the prior would be slow to let the data in from a least-squares volume. Each step
    costs ``PerpendicularPrior.calls_per_step``, and one call for each slice.

    Args:
        denoiser_of: Prior of planes of the size (height, width), see ``PerpendicularPrior``.
        spacing: Of slices, rows and columns, mm.
        num_steps: Noise levels; each has planes of one direction.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        regularization: lambda of ``RedDiff3D``, for the planes.
        relaxation: r of ``RedDiff3D``.
        zoom: How many times finer the planes are than the slices: 2 for half the pixels of the
            network's training.
    """
    return RedDiff3D(
        num_steps=num_steps,
        sigma_max=sigma_max,
        sigma_min=sigma_min,
        regularization=regularization / (1 + _STRENGTH),
        relaxation=relaxation,
        coupling=PerpendicularPrior(
            denoiser_of, spacing, strength=_STRENGTH, planes="all", zoom=zoom
        ),
    )
