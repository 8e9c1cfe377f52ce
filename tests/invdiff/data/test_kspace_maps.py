"""The readers' k-space goes into the estimators of coil maps and the operators as it is."""

import pytest
import torch

from invdiff.data import kspace_from_array
from operators import (
    CartesianMRI,
    birdcage_maps,
    calibration_region,
    cartesian_lines,
    espirit_maps,
    estimate_maps,
)
from operators.fourier import fft


def _disc(shape):
    rows, columns = ((torch.arange(n) - n // 2) / n for n in shape)
    radius = torch.hypot(rows.unsqueeze(1), columns)
    return torch.sigmoid((0.35 - radius) * 40)


@pytest.mark.parametrize("axis", [-1, -2])
def test_maps_of_read_slices_explain_the_samples(axis, generator):
    shape = (36, 32)
    image = torch.stack([_disc(shape), _disc(shape).roll(3, 0)])
    full = fft(birdcage_maps(shape, 5) * image.unsqueeze(1), (-2, -1))
    full = full + 1e-4 * torch.randn(full.shape, generator=generator, dtype=full.dtype)
    mask = cartesian_lines(shape, 2, 0.4, axis=axis, generator=generator)
    kspace = kspace_from_array((full * mask).numpy())
    data, sampled = torch.from_numpy(kspace.data), torch.from_numpy(kspace.mask)
    region = calibration_region(sampled)
    maps = espirit_maps(data, region).maps
    for one, slice_maps, truth in zip(data, maps, image, strict=True):
        operator = CartesianMRI(sampled, slice_maps)
        y = operator.sample(one)
        # the dim border of the disc is cropped, and counts for a few per cent of the energy
        explained = operator(truth.to(torch.complex64))
        assert torch.linalg.vector_norm(explained - y) < 0.05 * torch.linalg.vector_norm(y)
    alone = espirit_maps(torch.from_numpy(kspace.slice(1).data[0]), region).maps
    torch.testing.assert_close(alone, maps[1], rtol=0, atol=1e-3)
    assert estimate_maps(data, region).shape == maps.shape
