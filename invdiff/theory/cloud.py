"""Samples as points in one vector space."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from invdiff.samplers import Samples

__all__ = ["Cloud", "equal_points", "weighted_points"]

Cloud: TypeAlias = Samples | Tensor
"""Samples of one problem: weighted ones, or a tensor ``(N, *image_shape)`` of equal weight."""


def weighted_points(cloud: Cloud) -> tuple[Tensor, Tensor]:
    """Return points ``(N, n)`` and weights ``(N,)`` of sum 1, float64.

    Raises:
        ValueError: Complex images, several problems, or fewer than two samples.
    """
    values = cloud if isinstance(cloud, Tensor) else cloud.values
    if values.is_complex() or values.ndim < 2 or len(values) < 2:
        raise ValueError(
            f"samples: expected at least 2 real images (N, *shape), got {values.dtype} of shape "
            f"{tuple(values.shape)}"
        )
    count = len(values)
    points = values.reshape(count, -1).double()
    if isinstance(cloud, Tensor):
        return points, points.new_full((count,), 1 / count)
    if cloud.log_weights.ndim != 1:
        raise ValueError(
            f"samples: expected one problem, got log weights {tuple(cloud.log_weights.shape)}"
        )
    return points, cloud.log_weights.double().softmax(0)


def equal_points(cloud: Cloud) -> Tensor:
    """Return points ``(N, n)``, float64, of samples that all count the same.

    Raises:
        ValueError: Other weights, or what ``weighted_points`` refuses.
    """
    points, weights = weighted_points(cloud)
    # log weights may come in float32
    if not torch.allclose(weights, weights.mean(), rtol=1e-5):
        raise ValueError("samples: expected equal weights, resample first")
    return points
