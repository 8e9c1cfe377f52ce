from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from operators import (
    CartesianMRI,
    birdcage_maps,
    calibration_region,
    cartesian_lines,
    espirit_maps,
    poisson_disc_points,
    sigpy_espirit_maps,
)
from operators.fourier import fft, ifft
from operators.mri import espirit

BRAIN = Path(__file__).parents[3] / "shared/data/kspace/brain-8coil-undersampled.npy"
SHAPE = (48, 44)


def _object(shape=SHAPE):
    rows, columns = ((torch.arange(n, dtype=torch.float64) - n // 2) / n for n in shape)
    radius = torch.hypot(rows.unsqueeze(1) / 0.38, columns / 0.34)
    magnitude = torch.sigmoid((1 - radius) * 25) * (1 + 0.3 * torch.cos(9 * radius))
    phase = 1.5 * rows.unsqueeze(1) - 0.8 * columns
    return torch.polar(magnitude, phase), radius < 0.9


def _scan(generator, coils=6, noise=1e-3):
    image, inside = _object()
    maps = birdcage_maps(SHAPE, coils).to(torch.complex128)
    full = fft(maps * image, (-2, -1))
    full = full + noise * torch.randn(full.shape, generator=generator, dtype=full.dtype)
    mask = cartesian_lines(SHAPE, 2, 0.5, generator=generator)
    return full * mask, calibration_region(mask), maps, image, inside


def _agreement(first, second):
    """|<s1, s2>| of unit vectors, in the pixels where both are not zero."""
    both = (first.abs().sum(-3) > 0) & (second.abs().sum(-3) > 0)
    return (first.conj() * second).sum(-3)[both].abs(), both


def test_matches_the_true_maps_up_to_a_phase(generator):
    kspace, region, maps, _, inside = _scan(generator)
    estimate = espirit_maps(kspace, region)
    assert (estimate.eigenvalues[inside] > 0.98).all()
    products, both = _agreement(estimate.maps, maps)
    assert both[inside].all()
    # (48, 22) entries of k-space see what the maps do within two pixels
    assert products[inside[both]].min() > 0.999


def test_eigenvalues_are_those_of_an_average_of_projections(generator):
    noise = torch.randn(4, 16, 15, generator=generator, dtype=torch.complex128)
    eigenvalues = espirit_maps(noise, (slice(2, 14), slice(1, 14)), threshold=0.3).eigenvalues
    assert eigenvalues.min() >= 0
    assert eigenvalues.max() <= 1 + 1e-10  # rounding
    everything = espirit_maps(noise, (slice(2, 14), slice(1, 14)), threshold=1e-9, kernel_size=2)
    # all patches are signal: the projection is the identity
    torch.testing.assert_close(everything.eigenvalues, torch.ones(16, 15).double())


def test_pixel_matrices_are_the_average_of_projected_patches(generator):
    coils, size, (height, width) = 2, 3, (8, 7)
    vectors = torch.randn(coils * size**2, 4, generator=generator, dtype=torch.complex128)
    basis = torch.linalg.qr(vectors).Q
    projector = basis @ basis.mH
    x = torch.randn(coils, height, width, generator=generator, dtype=torch.complex128)
    kspace = fft(x, (-2, -1))
    average = torch.zeros_like(kspace)
    for row in range(height):
        for column in range(width):
            rows = (torch.arange(size) + row).remainder(height).unsqueeze(1)
            columns = (torch.arange(size) + column).remainder(width)
            patch = projector @ kspace[:, rows, columns].flatten()
            average[:, rows, columns] += patch.reshape(coils, size, size) / size**2
    kernel = espirit._averaged_kernel(projector, coils, size)
    matrices = espirit._pixel_matrices(kernel, (height, width))
    expected = torch.einsum("hwcd,dhw->chw", matrices, x)
    torch.testing.assert_close(average, fft(expected, (-2, -1)))


def test_phase_of_the_object_leaves_a_real_image(generator):
    kspace, region, maps, image, inside = _scan(generator)
    estimate = espirit_maps(kspace, region).maps
    combined = (estimate.conj() * maps * image).sum(0)[inside]
    # what the window of the calibration block smooths away of a phase that is not constant
    assert combined.angle().abs().max() < 0.05
    torch.testing.assert_close(combined.real, image.abs()[inside], rtol=0.01, atol=0)


def test_first_coil_is_real(generator):
    kspace, region, *_ = _scan(generator)
    first, other = (espirit_maps(kspace, region, phase=p) for p in ("first-coil", "object"))
    assert first.maps[0].imag.abs().max() < 1e-12  # rounding
    assert (first.maps[0].real >= 0).all()
    products, _ = _agreement(first.maps, other.maps)
    torch.testing.assert_close(products, torch.ones_like(products))


def test_maps_are_unit_vectors_in_the_support_and_zero_outside(generator):
    kspace, region, *_ = _scan(generator)
    for crop in (0, 0.95):
        maps, eigenvalues = espirit_maps(kspace, region, crop=crop)
        norms = maps.abs().square().sum(0)
        torch.testing.assert_close(norms, (eigenvalues > crop).double())
    assert (norms == 0).any()


def test_slices_are_a_batch_and_only_the_block_is_read(generator):
    kspace, region, *_ = _scan(generator)
    other = _scan(generator, noise=0.1)[0]
    batch = espirit_maps(torch.stack([kspace, other]).unsqueeze(1), region)
    for index, one in enumerate((kspace, other)):
        outside = torch.full_like(one, torch.nan)
        outside[..., region[0], region[1]] = one[..., region[0], region[1]]
        alone = espirit_maps(outside, region)
        torch.testing.assert_close(batch.maps[index, 0], alone.maps)
        torch.testing.assert_close(batch.eigenvalues[index, 0], alone.eigenvalues)


def test_slices_of_a_volume_make_the_maps_of_the_volume(generator):
    shape = (5, 32, 32)
    image = _object(shape[1:])[0].expand(shape)
    maps = birdcage_maps(shape, 4).to(torch.complex128)
    mask = poisson_disc_points(shape[1:], 3, 0.5, generator=generator)
    kspace = CartesianMRI(mask, maps).zero_filled(CartesianMRI(mask, maps)(image))
    # read out along the depth, which becomes the batch
    slices = ifft(kspace, (-3,)).movedim(-3, 0)
    estimate = espirit_maps(slices, calibration_region(mask)).maps.movedim(0, 1)
    combined = (estimate.conj() * maps * image).sum(0)
    inside = (_object(shape[1:])[1]).expand(shape)
    torch.testing.assert_close(combined.real[inside], image.abs()[inside], rtol=0.02, atol=0)
    assert CartesianMRI(mask, estimate).in_shape == shape


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_agrees_with_sigpy(dtype, generator):
    pytest.importorskip("sigpy")
    kspace = _scan(generator, noise=0.02)[0].to(dtype)
    # sigpy reads a square
    square = slice(24 - 10, 24 + 10), slice(22 - 10, 22 + 10)
    ours = espirit_maps(kspace, square)
    theirs = sigpy_espirit_maps(kspace, square, num_steps=300)
    assert ours.maps.dtype == theirs.maps.dtype == dtype
    # the power method is slow where the two largest eigenvalues are close
    torch.testing.assert_close(ours.eigenvalues, theirs.eigenvalues, rtol=0, atol=2e-3)
    products, both = _agreement(ours.maps, theirs.maps)
    assert both.sum() > 500
    assert products.min() > 0.999
    same = (ours.maps.abs().sum(-3) > 0) == (theirs.maps.abs().sum(-3) > 0)
    assert same.double().mean() > 0.99
    batch = sigpy_espirit_maps(kspace.expand(2, 1, *kspace.shape), square, phase="first-coil")
    assert batch.maps.shape == (2, 1, *kspace.shape)
    assert batch.eigenvalues.shape == (2, 1, *SHAPE)


@pytest.mark.skipif(not BRAIN.exists(), reason="the measured brain is not here")
def test_measured_brain_agrees_with_sigpy():
    pytest.importorskip("sigpy")
    kspace = torch.from_numpy(np.load(BRAIN))
    region = calibration_region((kspace != 0).any(0))
    ours, theirs = (f(kspace, region) for f in (espirit_maps, sigpy_espirit_maps))
    products, both = _agreement(ours.maps, theirs.maps)
    assert both.double().mean() > 0.5
    assert products.min() > 0.999


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel_size": 9}, "expected a kernel size from 1 to the sides of the block"),
        ({"kernel_size": 0}, "got 0"),
        ({"threshold": 0.0}, "expected threshold in"),
        ({"crop": 1.0}, "crop in"),
        ({"phase": "second-coil"}, "expected phase object or first-coil"),
    ],
)
def test_refuses_settings(change, message):
    kspace = torch.zeros(2, 16, 16, dtype=torch.complex64)
    with pytest.raises(ValueError, match=message):
        espirit_maps(kspace, (slice(4, 12), slice(3, 14)), **change)


def test_refuses_blocks_that_are_not_finite():
    kspace = torch.zeros(2, 16, 16, dtype=torch.complex64)
    kspace[0, 8, 1] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        espirit_maps(kspace, (slice(4, 13), slice(0, 16)))
