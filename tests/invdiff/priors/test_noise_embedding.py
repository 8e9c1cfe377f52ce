"""Times keep their digits on the way into a network."""

from __future__ import annotations

import math

import pytest
import torch

from invdiff.priors.architectures.noise_embedding import positional_embedding, time_embedding


@pytest.mark.parametrize("embedding", [positional_embedding, time_embedding])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_waves_of_a_time_are_of_single_precision(embedding, dtype):
    time = torch.tensor([984.0, 3.0], dtype=dtype)
    waves = embedding(time, 8)
    assert waves.dtype == torch.float32
    torch.testing.assert_close(waves.double(), embedding(time.double(), 8), rtol=0, atol=1e-4)


def test_frequencies_and_order_are_those_of_the_two_projects():
    time = torch.tensor([2.0], dtype=torch.float64)
    ends, whole = [1, 1e-2, 1e-4], [1, 10 ** (-4 / 3), 10 ** (-8 / 3)]
    sines = [math.sin(2 * f) for f in ends] + [math.cos(2 * f) for f in ends]
    torch.testing.assert_close(positional_embedding(time, 6)[0].tolist(), sines)
    cosines = [math.cos(2 * f) for f in whole] + [math.sin(2 * f) for f in whole] + [0.0]
    torch.testing.assert_close(time_embedding(time, 7)[0].tolist(), cosines, rtol=0, atol=1e-6)
