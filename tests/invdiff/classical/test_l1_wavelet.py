"""Sparse reconstruction by sigpy: what it reads, and what tiny and huge weights do."""

from __future__ import annotations

import pytest
import torch

from invdiff.classical import l1_wavelet
from operators import birdcage_maps
from operators.fourier import fft

SHAPE = (16, 12)


@pytest.fixture
def scan(generator):
    """A complex image, its maps and all of its k-space."""
    image = torch.randn(SHAPE, dtype=torch.complex64, generator=generator)
    maps = birdcage_maps(SHAPE, 3)
    return image, maps, fft(maps * image, (-2, -1))


def test_all_samples_and_hardly_a_weight_give_the_image(scan) -> None:
    image, maps, kspace = scan
    mask = torch.ones(SHAPE, dtype=torch.bool)
    found = l1_wavelet(kspace, mask, maps, 1e-5)
    # the weight shifts each of some overlapping coefficients by 1e-5
    torch.testing.assert_close(found, image, rtol=0, atol=1e-4)


def test_a_large_weight_leaves_nothing(scan) -> None:
    _, maps, kspace = scan
    assert not l1_wavelet(kspace, torch.ones(SHAPE, dtype=torch.bool), maps, 1e3).any()


def test_only_the_mask_is_read_and_a_measured_zero_counts(scan) -> None:
    image, maps, kspace = scan
    mask = torch.ones(SHAPE, dtype=torch.bool)
    mask[::3, 2] = False
    found = l1_wavelet(kspace, mask, maps, 1e-2)
    assert l1_wavelet(torch.where(mask, kspace, 7), mask, maps, 1e-2).equal(found)
    # the image whose k-space is 0 in one location is not that of one location less
    kspace[:, 4, 5] = 0
    less = mask.clone()
    less[4, 5] = False
    measured, missing = (l1_wavelet(kspace, m, maps, 1e-5) for m in (mask, less))
    assert (measured - missing).abs().max() > 1e-3 * image.abs().max()


def test_same_numbers_again(scan) -> None:
    _, maps, kspace = scan
    mask = torch.ones(SHAPE, dtype=torch.bool)
    assert l1_wavelet(kspace, mask, maps, 0.1).equal(l1_wavelet(kspace, mask, maps, 0.1))


def test_no_weight(scan) -> None:
    _, maps, kspace = scan
    with pytest.raises(ValueError, match="expected a positive weight, got 0"):
        l1_wavelet(kspace, torch.ones(SHAPE, dtype=torch.bool), maps, 0)
