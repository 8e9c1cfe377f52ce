from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import random_points, variable_density_lines, variable_density_points


@given(
    shape=st.lists(st.integers(1, 14), min_size=1, max_size=3),
    acceleration=st.floats(1, 5),
    share=st.floats(0, 0.5),
    power=st.floats(0, 8),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=100)
def test_number_of_samples_is_exact_and_the_centre_full(shape, acceleration, share, power, seed):
    sides = [round(n * share) for n in shape]
    total, centre = round(math.prod(shape) / acceleration), math.prod(sides)
    generator = torch.Generator().manual_seed(seed)
    arguments = shape, acceleration, share
    if centre > total or total < 1:
        with pytest.raises(ValueError, match="the centre needs"):
            variable_density_points(*arguments, power=power, generator=generator)
        return
    mask = variable_density_points(*arguments, power=power, generator=generator)
    assert mask.shape == tuple(shape)
    assert mask.sum() == total
    starts = [n // 2 - side // 2 for n, side in zip(shape, sides, strict=True)]
    block = tuple(slice(a, a + side) for a, side in zip(starts, sides, strict=True))
    assert mask[block].all()


def _expected_probabilities(shape, total, power, centre):
    """min(1, c (1 - |k|)^p), with c by bisection."""
    axes = [(torch.arange(n).double() - n // 2) / ((n + 1) / 2) for n in shape]
    squares = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().mean(0)
    density = (1 - squares.sqrt()) ** power * ~centre
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        fits = (middle * density).clamp(max=1).sum() < total - int(centre.sum())
        low, high = (middle, high) if fits else (low, middle)
    return (low * density).clamp(max=1) + centre


@pytest.mark.parametrize("power", [0, 2, 6])
def test_points_have_the_stated_probabilities(power):
    shape, draws = (9, 12), 1500
    generator = torch.Generator().manual_seed(0)
    centre = torch.zeros(shape, dtype=torch.bool)
    centre[3:5, 5:7] = True
    frequency = torch.zeros(shape, dtype=torch.float64)
    for _ in range(draws):
        frequency += variable_density_points(shape, 4, 0.2, power=power, generator=generator)
    expected = _expected_probabilities(shape, 27, power, centre)
    deviation = (frequency / draws - expected).abs()
    allowed = 4.5 * (expected * (1 - expected) / draws).clamp_min(0).sqrt() + 1e-9
    assert (deviation <= allowed).all()
    # of the highest power some are certain, outside the centre as well
    assert ((expected > 1 - 1e-9).sum() > 4) == (power == 6)


def test_pairs_of_uniform_points_are_as_frequent_as_all_others():
    draws, generator = 1500, torch.Generator().manual_seed(0)
    masks = torch.stack([random_points((6, 5), 3, 0, generator=generator) for _ in range(draws)])
    masks = masks.flatten(1).double()
    frequency = (masks.mT @ masks / draws).fill_diagonal_(0)
    share = 10 / 30 * 9 / 29
    expected = torch.full((30, 30), share).fill_diagonal_(0)
    # 435 pairs: 5 standard errors
    assert (frequency - expected).abs().max() < 5 * math.sqrt(share * (1 - share) / draws)


def test_lines_are_points_along_one_axis():
    first, second, points = (torch.Generator().manual_seed(1) for _ in range(3))
    rows = variable_density_lines((40, 6), 4, 0.1, power=2, axis=0, generator=first)
    columns = variable_density_lines((6, 40), 4, 0.1, power=2, generator=second)
    expected = variable_density_points((40,), 4, 0.1, power=2, generator=points)
    assert torch.equal(rows, expected.unsqueeze(1).expand(40, 6))
    assert torch.equal(columns, rows.mT)


def test_uniform_points_follow_the_generator():
    first, second, other = (
        random_points((16, 16), 4, 0.1, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_density_falls_with_the_radius(generator):
    masks = [variable_density_points((64, 64), 6, 0.1, power=3, generator=generator)]
    masks.append(random_points((64, 64), 6, 0.1, generator=generator))
    inner, outer = (
        [float(mask[rows, rows].double().mean()) for mask in masks]
        for rows in (slice(20, 44), slice(0, 16))
    )
    assert inner[0] > 2 * inner[1]
    assert outer[0] < 0.5 * outer[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acceleration": 0.5}, "acceleration >= 1"),
        ({"acceleration": math.inf}, "acceleration >= 1"),
        ({"center_fraction": -0.1}, "center_fraction in"),
        ({"center_fraction": 1.0}, "the centre needs 64"),
        ({"power": -1}, "a power of at least 0"),
        ({"power": 1e5}, "0 in double precision"),
        ({"shape": ()}, "a shape of positive sizes"),
        ({"shape": (8, 0)}, "a shape of positive sizes"),
    ],
)
def test_refuses_impossible_plans(change, message, generator):
    arguments = {"shape": (8, 8), "acceleration": 2, "center_fraction": 0.1, "power": 1}
    with pytest.raises(ValueError, match=message):
        variable_density_points(**{**arguments, **change}, generator=generator)


def test_lines_need_an_axis_of_a_2d_shape(generator):
    with pytest.raises(ValueError, match="one of its axes"):
        variable_density_lines((8, 8), 2, 0.1, power=1, axis=2, generator=generator)
