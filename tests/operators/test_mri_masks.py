from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import calibration_region, cartesian_lines, equispaced_lines


@given(
    size=st.integers(8, 64),
    acceleration=st.floats(1, 4),
    share=st.floats(0, 0.25),
    axis=st.sampled_from([-2, -1, 0, 1]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_number_of_lines_is_exact(size, acceleration, share, axis, seed):
    shape = (size, 5) if axis in (-2, 0) else (5, size)
    total, centre = round(size / acceleration), round(size * share)
    generator = torch.Generator().manual_seed(seed)
    arguments = shape, acceleration, share
    for build in (
        lambda: cartesian_lines(*arguments, axis=axis, generator=generator),
        lambda: equispaced_lines(*arguments, axis=axis),
    ):
        if centre > total:
            with pytest.raises(ValueError, match="the centre needs"):
                build()
            continue
        mask = build()
        lines = mask.movedim(axis, 0)[:, 0]
        assert mask.shape == shape
        assert (mask == lines.unsqueeze(1 if shape[0] == size else 0)).all()
        assert lines.sum() == total
        start = size // 2 - centre // 2
        assert lines[start : start + centre].all()


def test_random_lines_are_uniform_outside_the_centre():
    generator = torch.Generator().manual_seed(0)
    masks = [cartesian_lines((1, 40), 4, 0.1, generator=generator)[0] for _ in range(2000)]
    frequency = torch.stack(masks).double().mean(0)
    outer = torch.cat([frequency[:18], frequency[22:]])
    assert (frequency[18:22] == 1).all()
    share = 6 / 36
    assert (outer - share).abs().max() < 4.5 * math.sqrt(share * (1 - share) / 2000)


def test_random_lines_follow_the_generator():
    first, second, other = (
        cartesian_lines((8, 64), 4, 0.1, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_equispaced_lines_are_evenly_spaced():
    lines = equispaced_lines((1, 64), 4, 0)[0].nonzero().flatten()
    assert set(lines.diff().tolist()) == {4}
    lines = equispaced_lines((1, 50), 3, 0)[0].nonzero().flatten()
    assert set(lines.diff().tolist()) <= {2, 3}


@pytest.mark.parametrize("size", [20, 21])
@pytest.mark.parametrize("share", [0.2, 0.25])
@pytest.mark.parametrize("axis", [0, 1])
def test_calibration_region_is_the_sampled_centre(size, share, axis):
    shape = (size, 9) if axis == 0 else (9, size)
    total = round(size * share)
    mask = torch.zeros(shape, dtype=torch.bool)
    start = size // 2 - total // 2
    mask.narrow(axis, start, total).fill_(True)
    mask.narrow(axis, 0, 1).fill_(True)
    expected = [slice(0, 9), slice(0, 9)]
    expected[axis] = slice(start, start + total)
    assert calibration_region(mask) == tuple(expected)


def test_calibration_region_of_a_block_among_points():
    mask = torch.zeros(16, 20, dtype=torch.bool)
    mask[5:12, 6:15] = True
    mask[8, :] = True
    mask[::4, ::5] = True
    assert calibration_region(mask) == (slice(5, 12), slice(6, 15))


def test_calibration_region_of_full_sampling_is_everything():
    assert calibration_region(torch.ones(6, 7, dtype=torch.bool)) == (slice(0, 6), slice(0, 7))


def test_refuses_what_has_no_calibration_region():
    with pytest.raises(ValueError, match="not sampled"):
        calibration_region(torch.zeros(4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="boolean"):
        calibration_region(torch.ones(4, 4))


@pytest.mark.parametrize(
    ("shape", "acceleration", "share", "axis"),
    [
        ((8, 8), 0.5, 0.1, -1),
        ((8, 8), math.inf, 0.1, -1),
        ((8, 8), 4, 1.5, -1),
        ((8, 8), 100, 0, -1),
        ((8,), 4, 0.1, -1),
        ((8, 8), 4, 0.1, 2),
    ],
)
def test_refuses_impossible_lines(shape, acceleration, share, axis):
    with pytest.raises(ValueError, match=r"expected|leaves"):
        equispaced_lines(shape, acceleration, share, axis=axis)
