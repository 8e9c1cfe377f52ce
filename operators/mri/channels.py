"""Mixing of receive channels: whitening of their noise, and compression to fewer."""

from __future__ import annotations

import torch
from torch import Tensor


def noise_covariance(samples: Tensor) -> Tensor:
    r"""Return the covariance of the noise of the coils from a scan without signal.

    .. math:: \Psi_{cd} = \frac{1}{n} \sum_j \eta_{cj} \bar\eta_{dj}

    The noise has mean zero, so no mean is subtracted.

    Args:
        samples: Complex noise (coils, n), n at least the number of coils.

    Returns:
        The Hermitian matrix (coils, coils) :math:`E[\eta \eta^H]`, on its diagonal twice the
        variance of the real parts.

    Raises:
        ValueError: If the samples are not complex, 2D and finite, or fewer than the coils, for
            which the covariance has no inverse.
    """
    if not samples.is_complex() or samples.ndim != 2 or samples.shape[1] < samples.shape[0]:
        raise ValueError(
            f"noise_covariance: expected complex (coils, n) with n >= coils, "
            f"got {samples.dtype} {tuple(samples.shape)}"
        )
    if samples.numel() == 0 or not samples.isfinite().all():
        raise ValueError("noise_covariance: the samples are empty or not finite")
    return samples @ samples.mH / samples.shape[1]


def prewhiten(kspace: Tensor, covariance: Tensor, *, dim: int = -3) -> Tensor:
    r"""Make the noise of the coils independent and of equal power (Pruessmann et al. 2001).

    .. math:: \tilde y = L^{-1} y, \qquad \Psi = L L^H

    so that :math:`E[\tilde\eta \tilde\eta^H] = 1`: standard deviation :math:`\sqrt{1/2}` of the
    real and of the imaginary part each, the sigma of :class:`~operators.noise.GaussianNoise`. Maps
    estimated from whitened k-space fit to it; other maps are whitened by the same call.

    Args:
        kspace: Complex k-space, samples or maps with an axis of coils.
        covariance: Hermitian positive definite (coils, coils), as :func:`noise_covariance` gives.
        dim: Axis of the coils; -3 is that of (coils, height, width), -2 that of (coils, m).

    Returns:
        A tensor in the shape and dtype of kspace.

    Raises:
        ValueError: If the shapes or kinds do not fit, or the covariance is not Hermitian positive
            definite.
    """
    _check_channels("prewhiten", kspace, dim)
    coils = kspace.shape[dim]
    if tuple(covariance.shape) != (coils, coils):
        raise ValueError(
            f"prewhiten: expected a covariance ({coils}, {coils}), got {tuple(covariance.shape)}"
        )
    # the factor in double precision: a covariance of strongly coupled coils is ill-conditioned
    wide = covariance.to(torch.complex128)
    factor, info = torch.linalg.cholesky_ex(wide)
    if not torch.allclose(wide, wide.mH, rtol=0, atol=1e-5 * float(wide.abs().max())) or info > 0:
        raise ValueError("prewhiten: the covariance is not Hermitian positive definite")
    identity = torch.eye(coils, dtype=wide.dtype, device=wide.device)
    whitening = torch.linalg.solve_triangular(factor, identity, upper=False)
    return mix_channels(kspace, whitening, dim=dim)


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
