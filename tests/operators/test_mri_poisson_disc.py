from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import poisson_disc_points, random_points
from operators.mri.poisson_disc import throw_darts

SHAPE = (40, 33)


def _distances(mask, block=None):
    """Distances between all pairs of samples outside the block."""
    points = mask.clone()
    if block is not None:
        points[block] = False
    return torch.pdist(points.nonzero().double())


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    acceleration=st.floats(1.3, 8),
    share=st.floats(0, 0.3),
    edge_ratio=st.floats(1, 4),
    elliptical=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_number_is_exact_and_the_centre_full(
    shape, acceleration, share, edge_ratio, elliptical, seed
):
    generator = torch.Generator().manual_seed(seed)
    total = round(math.prod(shape) / acceleration)
    sides = [round(n * share) for n in shape]
    block = tuple(
        slice(n // 2 - side // 2, n // 2 - side // 2 + side)
        for n, side in zip(shape, sides, strict=True)
    )
    centre = torch.zeros(shape, dtype=torch.bool)
    centre[block] = True
    rows, columns = ((torch.arange(n).double() - n // 2) / (n / 2) for n in shape)
    inside = rows.unsqueeze(1) ** 2 + columns**2 <= 1
    room = int((inside & ~centre).sum()) if elliptical else math.prod(shape) - int(centre.sum())
    arguments = {"edge_ratio": edge_ratio, "elliptical": elliptical, "generator": generator}
    if total < 1 or not 0 <= total - int(centre.sum()) <= room:
        with pytest.raises(ValueError, match="the centre"):
            poisson_disc_points(shape, acceleration, share, **arguments)
        return
    mask = poisson_disc_points(shape, acceleration, share, **arguments)
    assert mask.shape == shape
    assert mask.sum() == total
    assert mask[block].all()
    if elliptical:
        assert inside[mask & ~centre].all()


# accelerations at which random darts of these distances still find room on a grid
@pytest.mark.parametrize(("acceleration", "distance"), [(3, 2**0.5), (6, 2), (8, 5**0.5)])
def test_samples_keep_their_distance(acceleration, distance, generator):
    mask = poisson_disc_points((64, 64), acceleration, 0, generator=generator)
    assert _distances(mask).min() >= distance - 1e-12
    uniform = random_points((64, 64), acceleration, 0, generator=generator)
    assert _distances(uniform).min() == 1


def test_the_centre_keeps_its_distance_too(generator):
    mask = poisson_disc_points((64, 64), 8, 0.1, generator=generator)
    block = slice(29, 35), slice(29, 35)
    assert mask[block].all()
    around = mask[28:36, 28:36].clone()
    around[1:7, 1:7] = False
    assert not around.any()
    assert _distances(mask, block).min() >= 2


def test_distance_grows_towards_the_edge(generator):
    mask = poisson_disc_points((96, 96), 8, 0.05, edge_ratio=4, generator=generator)
    middle, edge = mask[38:58, 38:58], mask[:12]
    assert middle.double().mean() > 3 * edge.double().mean()
    middle = mask[52:64, 40:56]
    assert _distances(edge).min() > 1.4 * _distances(middle).min()


def _radius(kind):
    if kind == "uniform":
        return torch.full(SHAPE, 2.9, dtype=torch.float64)
    rows, columns = (torch.linspace(0, 1, n, dtype=torch.float64) for n in SHAPE)
    return 1 + 2 * rows.unsqueeze(1) + 3 * columns


@pytest.mark.parametrize("kind", ["uniform", "variable"])
def test_darts_are_apart_and_fill_the_plane(kind, generator):
    radius = _radius(kind)
    taken = torch.zeros(SHAPE, dtype=torch.bool)
    taken[20:23, 15:18] = True
    order = torch.randperm(taken.numel(), generator=generator)
    everywhere = throw_darts(radius, taken, order, taken.numel())
    points = everywhere.nonzero().double()
    distances = torch.cdist(points, points)
    radii = radius[everywhere]
    smaller = torch.minimum(radii.unsqueeze(1), radii)
    beforehand = taken[everywhere]
    free = ~(beforehand.unsqueeze(1) & beforehand)
    free.fill_diagonal_(False)
    assert (distances >= smaller)[free].all()
    # every point that was left out is within the radius of one that was not
    others = (~everywhere).nonzero().double()
    assert (torch.cdist(others, points) < radii).any(1).all()
    # fewer darts are the first of more
    some = throw_darts(radius, taken, order, 30)
    assert some.sum() == 30 + taken.sum()
    assert (everywhere | ~some).all()


def test_follows_the_generator():
    first, second, other = (
        poisson_disc_points((24, 24), 5, 0.1, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (8,)}, "expected a 2D shape"),
        ({"edge_ratio": 0.5}, "edge_ratio >= 1"),
        ({"acceleration": 0.9}, "acceleration >= 1"),
        ({"acceleration": 1, "elliptical": True}, "do not fit"),
        ({"center_fraction": 1.0}, "the centre needs 64"),
    ],
)
def test_refuses_impossible_plans(change, message, generator):
    arguments = {"shape": (8, 8), "acceleration": 2, "center_fraction": 0.1}
    with pytest.raises(ValueError, match=message):
        poisson_disc_points(**{**arguments, **change}, generator=generator)
