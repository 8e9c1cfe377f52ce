"""Volumes and frames against the explicit transform, and frame by frame."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import (
    CartesianMRI,
    DynamicMRI,
    SingleCoilDynamicMRI,
    SingleCoilMRI,
    birdcage_maps,
)
from operators.fourier import fft
from operators.testing import dot_test

SHAPE = (4, 5, 6)
# the axes along which the pattern varies; it is constant, that is read out, along the others
PATTERNS = [(0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,), ()]


def _pattern(axes, shape=SHAPE, seed=1):
    varying = [n if axis in axes else 1 for axis, n in enumerate(shape)]
    mask = torch.rand(varying, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask.flatten()[-1] = True
    return mask.expand(shape)


@pytest.mark.parametrize("axes", PATTERNS)
def test_volume_is_the_sampled_transform_of_every_coil(axes, generator):
    mask, maps = _pattern(axes), birdcage_maps(SHAPE, 3).to(torch.complex128)
    operator = CartesianMRI(mask, maps)
    x = torch.randn(2, *SHAPE, generator=generator, dtype=torch.complex128)
    kspace = fft(maps * x.unsqueeze(1), (-3, -2, -1))
    y = operator(x)
    torch.testing.assert_close(y, kspace[..., mask])
    torch.testing.assert_close(operator.sample(kspace), y)
    torch.testing.assert_close(operator.zero_filled(y), kspace * mask)


@pytest.mark.parametrize("axes", PATTERNS)
def test_constant_axes_are_read_out(axes):
    readouts = CartesianMRI(_pattern(axes))._axes.readouts
    # of a fully sampled volume the last axis stays an encoding
    assert set(readouts) == {0, 1, 2} - set(axes or (2,))


def test_phase_encoding_mask_has_its_readout_along_the_depth(generator):
    mask, maps = _pattern((0, 1), (5, 6)), birdcage_maps((4, 5, 6), 2)
    x = torch.randn(4, 5, 6, generator=generator, dtype=torch.complex64)
    expanded = CartesianMRI(mask.expand(4, 5, 6), maps)
    assert torch.equal(CartesianMRI(mask, maps)(x), expanded(x))
    assert expanded._axes.readouts == (0,)
    frames = torch.stack([mask, ~mask])
    x = torch.randn(2, 4, 5, 6, generator=generator, dtype=torch.complex64)
    expanded = DynamicMRI(frames.unsqueeze(1).expand(2, 4, 5, 6), maps)
    assert torch.equal(DynamicMRI(frames, maps)(x), expanded(x))


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 1), (0, 2), (0,), (1, 2)])
def test_frames_are_separate_scans_one_after_the_other(axes, generator):
    mask, maps = _pattern(axes), birdcage_maps(SHAPE[1:], 3).to(torch.complex128)
    mask = torch.cat([mask, torch.ones_like(mask[:1])])
    operator = DynamicMRI(mask, maps)
    x = torch.randn(2, 5, *SHAPE[1:], generator=generator, dtype=torch.complex128)
    scans = [CartesianMRI(m, maps) for m in mask if m.any()]
    frames = x[:, mask.any((-2, -1))].unbind(1)
    expected = torch.cat([scan(f) for scan, f in zip(scans, frames, strict=True)], dim=-1)
    torch.testing.assert_close(operator(x), expected)
    assert operator.out_shape == (3, int(mask.sum()))


def test_frame_without_samples_stays_dark(generator):
    mask = torch.ones(3, 4, 5, dtype=torch.bool)
    mask[1] = False
    operator = DynamicMRI(mask, birdcage_maps((4, 5), 2))
    x = torch.randn(3, 4, 5, generator=generator, dtype=torch.complex64)
    assert (operator.adjoint(operator(x))[1] == 0).all()
    # maps with root sum of squares 1: fully sampled frames come back
    torch.testing.assert_close(operator.normal(x)[::2], x[::2])


def test_single_coil_variants_have_orthonormal_rows(generator):
    mask = _pattern((0, 2))
    for operator in (SingleCoilMRI(mask), SingleCoilDynamicMRI(mask)):
        y = torch.randn(operator.out_shape, generator=generator, dtype=torch.complex128)
        torch.testing.assert_close(operator(operator.adjoint(y)), y)
        torch.testing.assert_close(operator.pinv(y), operator.adjoint(y))


@given(
    shape=st.tuples(*(st.integers(1, 4),) * 3),
    axes=st.sampled_from(PATTERNS),
    kind=st.sampled_from([CartesianMRI, DynamicMRI]),
    coils=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=80)
def test_adjoint_is_exact_for_every_pattern(shape, axes, kind, coils, seed):
    generator = torch.Generator().manual_seed(seed)
    grid = shape if kind is CartesianMRI else shape[1:]
    maps = torch.randn(coils, *grid, generator=generator, dtype=torch.complex128)
    operator = kind(_pattern(axes, shape, seed), maps)
    assert dot_test(operator, generator=generator) < 1e-10


@pytest.mark.parametrize(
    ("kind", "mask_shape", "maps_shape"),
    [
        (CartesianMRI, (2, 2, 2, 2), None),
        (CartesianMRI, (3, 4, 5), (2, 4, 5)),
        (CartesianMRI, (4, 5), (2, 3, 4, 6)),
        (DynamicMRI, (4, 5), None),
        (DynamicMRI, (3, 4, 5), (2, 3, 4)),
        (DynamicMRI, (3, 4, 5), (2, 7, 4, 6)),
    ],
)
def test_refuses_masks_and_maps_that_do_not_fit(kind, mask_shape, maps_shape):
    maps = None if maps_shape is None else torch.ones(maps_shape, dtype=torch.complex64)
    with pytest.raises(ValueError, match=f"{kind.__name__}: expected"):
        kind(torch.ones(mask_shape, dtype=torch.bool), maps)
