from __future__ import annotations

import math

import pytest
import torch

from operators import (
    birdcage_maps,
    compression_matrix,
    mix_channels,
    noise_covariance,
    prewhiten,
)


def _coupling(coils, generator):
    mixing = torch.randn(coils, coils, generator=generator, dtype=torch.complex128)
    return mixing + 2 * torch.eye(coils, dtype=torch.complex128)


def test_covariance_of_coupled_noise(generator):
    mixing = _coupling(4, generator)
    white = torch.randn(4, 40000, generator=generator, dtype=torch.complex128)
    estimate, expected = noise_covariance(mixing @ white), mixing @ mixing.mH
    torch.testing.assert_close(estimate, estimate.mH)
    # var of an entry: Psi_cc Psi_dd / n
    scale = expected.diagonal().real.sqrt()
    spread = scale.unsqueeze(1) * scale / math.sqrt(40000)
    assert ((estimate - expected).abs() < 4.5 * spread).all()


@pytest.mark.parametrize(("shape", "dim"), [((2, 4, 5, 6), -3), ((4, 30), -2), ((4, 3, 5, 6), 0)])
def test_whitening_inverts_the_coupling(shape, dim, generator):
    covariance = _coupling(4, generator)
    covariance = covariance @ covariance.mH
    kspace = torch.randn(shape, generator=generator, dtype=torch.complex128)
    white = prewhiten(kspace, covariance, dim=dim)
    assert white.shape == kspace.shape
    factor = torch.linalg.cholesky(covariance)
    torch.testing.assert_close(mix_channels(white, factor, dim=dim), kspace)
    assert prewhiten(kspace.to(torch.complex64), covariance, dim=dim).dtype == torch.complex64


def test_whitened_noise_has_unit_covariance(generator):
    noise = _coupling(5, generator) @ torch.randn(
        5, 60, generator=generator, dtype=torch.complex128
    )
    white = prewhiten(noise, noise_covariance(noise), dim=-2)
    # with its own covariance, exactly
    torch.testing.assert_close(noise_covariance(white), torch.eye(5, dtype=torch.complex128))


def test_compression_keeps_the_largest_singular_values(generator):
    samples = torch.randn(6, 50, generator=generator, dtype=torch.complex128)
    expected = torch.linalg.svdvals(samples)
    for channels in (1, 3, 6):
        matrix = compression_matrix(samples, channels)
        identity = torch.eye(channels, dtype=torch.complex128)
        torch.testing.assert_close(matrix @ matrix.mH, identity)
        kept = mix_channels(samples, matrix, dim=-2)
        torch.testing.assert_close(kept.norm(dim=1), expected[:channels])


def test_neighbouring_coils_compress_well():
    maps = birdcage_maps((16, 16), 12)
    compressed = mix_channels(maps, compression_matrix(maps.flatten(1), 5))
    assert compressed.shape == (5, 16, 16)
    assert compressed.abs().square().sum() > 0.98 * maps.abs().square().sum()


def test_refusals(generator):
    noise = torch.randn(3, 8, generator=generator, dtype=torch.complex64)
    eye = torch.eye(3, dtype=torch.complex64)
    for bad in (noise.real, noise[:, :2], noise[0], noise * math.nan):
        with pytest.raises(ValueError, match="noise_covariance"):
            noise_covariance(bad)
    for covariance in (eye[:2, :2], -eye, eye + torch.triu(eye.new_ones(3, 3), 1)):
        with pytest.raises(ValueError, match="prewhiten"):
            prewhiten(noise, covariance, dim=-2)
    with pytest.raises(ValueError, match="an axis -3 of coils"):
        prewhiten(noise, eye)
    with pytest.raises(ValueError, match=r"expected a matrix \(channels, 3\)"):
        mix_channels(noise, eye[:, :2], dim=-2)
    with pytest.raises(ValueError, match="expected 1 to 3 channels, got 4"):
        compression_matrix(noise, 4)
    with pytest.raises(ValueError, match="compression_matrix"):
        compression_matrix(noise.real, 2)
