"""The Cholesky factor of a covariance, and products along one axis."""

from __future__ import annotations

import torch
from torch import Tensor

from operators.base import matched


def cholesky_factor(name: str, covariance: Tensor) -> Tensor:
    """Return the lower Cholesky factor L; ``ValueError`` with the name where there is none."""
    if covariance.ndim != 2 or covariance.shape[0] != covariance.shape[1] or not len(covariance):
        raise ValueError(f"{name}: expected a square covariance, got {tuple(covariance.shape)}")
    if not (covariance.is_floating_point() or covariance.is_complex()):
        raise ValueError(f"{name}: expected a floating-point covariance, got {covariance.dtype}")
    # rounding of an estimate in float32
    if not torch.allclose(covariance, covariance.mH, rtol=1e-5, atol=0):
        raise ValueError(f"{name}: the covariance is not Hermitian, or not finite")
    factor, info = torch.linalg.cholesky_ex(covariance)
    if info.item() != 0:
        raise ValueError(f"{name}: the covariance is not positive definite")
    return factor


def inverse_factor(factor: Tensor) -> Tensor:
    """Return L^{-1}."""
    identity = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, identity, upper=False)


def along(matrix: Tensor, v: Tensor, axis: int) -> Tensor:
    """Multiply the entries along an axis of v by a matrix; a real one may meet a complex v."""
    matrix = matched(matrix, v).to(v.device)
    if v.is_complex():
        matrix = matrix.to(v.dtype)
    return (v.movedim(axis, -1) @ matrix.mT).movedim(-1, axis)
