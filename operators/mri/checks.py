"""What trajectories and coil maps must be to go with an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

# float32 trajectories may round 0.5 up
_EDGE = 0.5 + 1e-6


def checked_trajectory(name: str, trajectory: Tensor, image_shape: Sequence[int]) -> Tensor:
    """Return the points (m, ndim) of a trajectory that fits the image; ``ValueError`` otherwise."""
    shape, ndim = tuple(image_shape), len(image_shape)
    if not 1 <= ndim <= 3 or min(shape) < 1:
        raise ValueError(f"{name}: expected one to three positive image sizes, got {shape}")
    known = trajectory.dtype in (torch.float32, torch.float64)
    if not known or trajectory.ndim < 2 or trajectory.shape[-1] != ndim:
        raise ValueError(
            f"{name}: expected a real trajectory (..., {ndim}) in float32 or float64, "
            f"got {trajectory.dtype} {tuple(trajectory.shape)}"
        )
    if trajectory.requires_grad:
        raise ValueError(f"{name}: no gradient can reach the trajectory: detach it")
    if trajectory.numel() == 0 or not trajectory.isfinite().all():
        raise ValueError(f"{name}: the trajectory is empty or not finite")
    if (largest := trajectory.abs().max().item()) > _EDGE:
        raise ValueError(
            f"{name}: expected a trajectory in cycles per pixel, within [-0.5, 0.5], "
            f"got {largest:.4g}"
        )
    return trajectory.reshape(-1, ndim)


def checked_maps(
    name: str, maps: Tensor | None, image_shape: Sequence[int], points: Tensor
) -> Tensor:
    """Return coil maps that fit the image, uniform ones for None; ``ValueError`` otherwise."""
    if maps is None:
        dtype = points.dtype.to_complex()
        return torch.ones(1, *image_shape, dtype=dtype, device=points.device)
    if not maps.is_complex() or tuple(maps.shape[1:]) != tuple(image_shape):
        raise ValueError(
            f"{name}: expected complex maps (coils, {', '.join(map(str, image_shape))}), "
            f"got {maps.dtype} {tuple(maps.shape)}"
        )
    if maps.numel() == 0 or not maps.isfinite().all():
        raise ValueError(f"{name}: the maps are empty or not finite")
    return maps.resolve_conj()
