"""Mixing of receive channels, and compression to fewer."""

from __future__ import annotations

import torch
from torch import Tensor


def compression_matrix(samples: Tensor, num_channels: int) -> Tensor:
    r"""Return the orthonormal mixture of coils that keeps most energy (Buehrer et al. 2007).

    .. math:: M = U_r^H, \qquad Y = U \Sigma V^H

    Args:
        samples: Complex signal (coils, n), such as the calibration block flattened; whitened first
            if the noise of the coils is correlated, so that it stays white.
        num_channels: r, from 1 to the number of coils.

    Returns:
        Complex (num_channels, coils) with orthonormal rows, for :func:`mix_channels`.

    Raises:
        ValueError: If the samples are not complex, 2D and finite, or num_channels is out of range.
    """
    if not samples.is_complex() or samples.ndim != 2 or not samples.isfinite().all():
        raise ValueError(
            f"compression_matrix: expected finite complex (coils, n), "
            f"got {samples.dtype} {tuple(samples.shape)}"
        )
    if not 1 <= num_channels <= min(samples.shape):
        raise ValueError(
            f"compression_matrix: expected 1 to {min(samples.shape)} channels, got {num_channels}"
        )
    # eigenvectors of the small coils-by-coils matrix; squaring loses the weak ones, which go
    _, vectors = torch.linalg.eigh(samples @ samples.mH)
    return vectors[:, -num_channels:].flip(1).mH.resolve_conj().contiguous()


def mix_channels(kspace: Tensor, matrix: Tensor, *, dim: int = -3) -> Tensor:
    """Multiply the axis of coils by a matrix (channels, coils).

    Args:
        kspace: Complex k-space, samples or maps with an axis of coils.
        matrix: Complex; cast to the precision of kspace.
        dim: Axis of the coils.

    Raises:
        ValueError: If kspace is not complex, or has another number of coils along dim.
    """
    _check_channels("mix_channels", kspace, dim)
    if matrix.ndim != 2 or matrix.shape[1] != kspace.shape[dim]:
        raise ValueError(
            f"mix_channels: expected a matrix (channels, {kspace.shape[dim]}), "
            f"got {tuple(matrix.shape)}"
        )
    mixed = torch.tensordot(matrix.to(kspace.dtype), kspace, dims=([1], [dim]))
    return mixed.movedim(0, dim)


def _check_channels(name: str, kspace: Tensor, dim: int) -> None:
    if not kspace.is_complex() or not -kspace.ndim <= dim < kspace.ndim:
        raise ValueError(
            f"{name}: expected complex values with an axis {dim} of coils, "
            f"got {kspace.dtype} {tuple(kspace.shape)}"
        )
