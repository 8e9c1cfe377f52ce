"""Mask, identity, real to complex, diagonal, differences."""

from __future__ import annotations

import math

import pytest
import torch

from operators import Diagonal, FiniteDifferences, Identity, Mask, RealToComplex
from operators.testing import to_dense


def test_mask_keeps_only_observed_entries_in_row_major_order():
    mask = torch.tensor([[False, True, True], [True, False, False]])
    x = torch.arange(6.0).reshape(2, 3)
    operator = Mask(mask)
    assert operator.out_shape == (3,)
    assert operator(x).tolist() == [1, 2, 3]
    assert operator.adjoint(torch.tensor([7.0, 8.0, 9.0])).tolist() == [[0, 7, 8], [9, 0, 0]]


def test_mask_never_reads_unobserved_entries():
    mask = torch.tensor([True, False])
    x = torch.tensor([1.0, math.nan])
    assert Mask(mask)(x).tolist() == [1]
    assert Mask(mask).normal(x).tolist() == [1, 0]


@pytest.mark.parametrize("mask", [torch.zeros(2, 2, dtype=torch.bool), torch.ones(2, 2)])
def test_mask_refuses_empty_and_non_boolean(mask):
    with pytest.raises(ValueError, match="Mask"):
        Mask(mask)


def test_mask_does_not_follow_later_changes():
    mask = torch.tensor([True, False])
    operator = Mask(mask)
    mask[:] = True
    assert operator.normal(torch.ones(2)).tolist() == [1, 0]


def test_identity_and_embedding():
    x = torch.tensor([1.0, -2.0])
    assert torch.equal(Identity((2,))(x), x)
    assert RealToComplex((2,))(x).dtype == torch.complex64
    assert RealToComplex((2,)).adjoint(torch.tensor([1 + 2j, 3j])).tolist() == [1, 0]


def test_diagonal_is_its_weights():
    weights = torch.tensor([2.0, -1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(to_dense(Diagonal(weights)), weights.diag())
    assert Diagonal(weights).pinv(torch.ones(3, dtype=torch.float64)).tolist() == [0.5, -1, 0]


@pytest.mark.parametrize(
    "weights", [torch.tensor([1, 2]), torch.tensor([math.inf]), torch.zeros(0)]
)
def test_diagonal_refuses_weights(weights):
    with pytest.raises(ValueError, match="Diagonal"):
        Diagonal(weights)


def test_differences_are_zero_at_the_far_end():
    x = torch.tensor([[1.0, 3.0], [6.0, 10.0]])
    vertical, horizontal = FiniteDifferences((2, 2))(x)
    assert vertical.tolist() == [[5, 7], [0, 0]]
    assert horizontal.tolist() == [[2, 0], [4, 0]]


@pytest.mark.parametrize(
    ("shape", "num_axes", "spacing"),
    [((5, 7), 2, None), ((3, 4, 2), 2, None), ((6,), None, None), ((3, 4), None, (3.0, 0.5))],
)
def test_norm_of_differences_is_the_largest_singular_value(shape, num_axes, spacing):
    operator = FiniteDifferences(shape, num_axes, spacing=spacing)
    largest = torch.linalg.svdvals(to_dense(operator)).max().item()
    assert operator.norm == pytest.approx(largest, rel=1e-12)
    assert operator.norm < 2 * math.sqrt(sum(h**-2 for h in operator.spacing))


def test_differences_are_per_length_of_the_spacing():
    x = torch.tensor([[1.0, 3.0], [6.0, 10.0]])
    vertical, horizontal = FiniteDifferences((2, 2), spacing=(5.0, 0.5))(x)
    torch.testing.assert_close(vertical, torch.tensor([[1, 1.4], [0, 0]]))
    assert horizontal.tolist() == [[4, 0], [8, 0]]


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0), (1.0, math.inf), (-1.0, 1.0)])
def test_differences_refuse_a_spacing(spacing):
    with pytest.raises(ValueError, match="2 positive lengths"):
        FiniteDifferences((4, 4), spacing=spacing)


@pytest.mark.parametrize("num_axes", [0, 3])
def test_differences_refuse_number_of_axes(num_axes):
    with pytest.raises(ValueError, match="FiniteDifferences"):
        FiniteDifferences((4, 4), num_axes)
