"""Parts of slices, and sheets of them."""

import pytest
import torch

from invdiff.rng import derive_generator
from invdiff.study.slices import grey_levels, varied_parts
from invdiff.training.slice_set import SliceSet


def test_parts_are_where_something_is():
    slices = torch.zeros(10, 40, 40, dtype=torch.uint8)
    slices[:, 20:, 20:] = torch.arange(400).reshape(20, 20) % 256
    parts = varied_parts(slices, 12, 4, derive_generator(0))
    assert parts.shape == (4, 12, 12)
    assert -1 <= parts.min() < parts.max() <= 1
    # a single draw misses the structure in half of the cases
    assert (parts.flatten(1).std(1) > 0.1).all()
    assert varied_parts(slices[:2], 12, 4, derive_generator(0)).shape == (2, 12, 12)


def test_grey_levels_are_those_of_magnitudes_only():
    values = torch.arange(8, dtype=torch.uint8).reshape(2, 1, 2, 2)
    assert torch.equal(grey_levels(SliceSet(values, ("", ""))), values[:, 0])
    with pytest.raises(ValueError, match=r"got 2 channels of torch.float16"):
        grey_levels(SliceSet(torch.zeros(1, 2, 4, 4, dtype=torch.float16), ("",)))
