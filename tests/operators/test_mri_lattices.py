from __future__ import annotations

import math

import pytest
import torch

from operators import DynamicMRI, caipirinha_lattice, sheared_lines
from operators.fourier import ifft


@pytest.mark.parametrize(("ry", "rz"), [(1, 1), (2, 2), (2, 3), (3, 2), (1, 4)])
@pytest.mark.parametrize("shape", [(24, 12), (25, 31)])
def test_lattice_is_periodic_and_as_dense_as_stated(ry, rz, shape):
    for shift in range(rz):
        mask = caipirinha_lattice(shape, (ry, rz), shift)
        assert mask[shape[0] // 2, shape[1] // 2]
        # both vectors of the lattice leave it as it is, away from the border
        assert torch.equal(mask[ry:, shift:], mask[:-ry, : shape[1] - shift])
        assert torch.equal(mask[:, rz:], mask[:, :-rz])
        if shape == (24, 12):
            assert mask.sum() == 24 * 12 // (ry * rz)
            # and around the border, where whole cells fit
            if 24 // ry * shift % rz == 0:
                assert torch.equal(mask.roll((ry, shift), (0, 1)), mask)


def test_shift_moves_the_aliases_apart():
    aliases = {}
    for shift in (0, 1):
        spread = ifft(caipirinha_lattice((24, 24), (2, 2), shift).double(), (0, 1)).abs()
        places = (spread > 1e-9).nonzero() - 12
        aliases[shift] = {tuple(place) for place in places.tolist()}
    assert aliases[0] == {(0, 0), (-12, 0), (0, -12), (-12, -12)}
    # those at half the field along z move on by a quarter of it along y
    assert aliases[1] == {(0, 0), (-12, 0), (6, -12), (-6, -12)}


def test_lattice_can_have_a_full_centre():
    plain = caipirinha_lattice((20, 21), (2, 3), 1)
    mask = caipirinha_lattice((20, 21), (2, 3), 1, center_fraction=0.2)
    block = slice(8, 12), slice(8, 12)
    assert mask[block].all()
    mask[block] = plain[block]
    assert torch.equal(mask, plain)


@pytest.mark.parametrize(("acceleration", "shear"), [(4, 1), (4, 3), (5, 2), (1, 1)])
@pytest.mark.parametrize("axis", [-1, -2])
def test_consecutive_frames_sample_every_line_once(acceleration, shear, axis):
    shape = (9, 3, 22) if axis == -1 else (9, 22, 3)
    mask = sheared_lines(shape, acceleration, shear=shear, axis=axis)
    lines = mask.movedim(axis, -1)[:, 0]
    assert torch.equal(mask, lines.unsqueeze(-2 if axis == -1 else -1).expand(shape))
    assert lines[0, 11]
    for start in range(9 - acceleration + 1):
        assert (lines[start : start + acceleration].sum(0) == 1).all()
    assert torch.equal(lines[1:, shear:], lines[:-1, : 22 - shear])


def test_sheared_lines_fit_the_dynamic_operator():
    mask = sheared_lines((4, 6, 8), 2, center_fraction=0.25)
    assert mask[..., 3:5].all()
    operator = DynamicMRI(mask)
    assert operator.out_shape == (1, int(mask.sum()))
    assert operator._axes.readouts == (1,)


@pytest.mark.parametrize(
    "arguments",
    [
        ((8,), (2, 2), 0),
        ((8, 0), (2, 2), 0),
        ((8, 8), (0, 2), 0),
        ((8, 8), (2, 2), 2),
        ((8, 8), (2, 2), -1),
    ],
)
def test_lattice_refuses(arguments):
    with pytest.raises(ValueError, match="caipirinha_lattice: expected"):
        caipirinha_lattice(*arguments)


@pytest.mark.parametrize(
    ("shape", "change"),
    [
        ((8, 8), {}),
        ((2, 8, 8), {"acceleration": 0}),
        ((2, 8, 8), {"axis": 0}),
        ((2, 8, 8), {"center_fraction": math.nan}),
    ],
)
def test_sheared_lines_refuse(shape, change):
    with pytest.raises(ValueError, match="expected"):
        sheared_lines(shape, **{"acceleration": 2, **change})
