from __future__ import annotations

import pytest
import torch

from operators import (
    birdcage_maps,
    compression_matrix,
    mix_channels,
)


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
    with pytest.raises(ValueError, match="an axis -3 of coils"):
        mix_channels(noise, eye)
    with pytest.raises(ValueError, match=r"expected a matrix \(channels, 3\)"):
        mix_channels(noise, eye[:, :2], dim=-2)
    with pytest.raises(ValueError, match="expected 1 to 3 channels, got 4"):
        compression_matrix(noise, 4)
    with pytest.raises(ValueError, match="compression_matrix"):
        compression_matrix(noise.real, 2)
