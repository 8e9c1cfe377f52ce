from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import upfirdn
from torch import Tensor
from torch.nn import functional as F

from invdiff.priors.architectures import fir

TAPS = [(1, 1), (1, 3, 3, 1), (1, 2, 5, 5, 2, 1)]


def _scipy(x: Tensor, taps: tuple[int, ...], up: int, down: int, pad: tuple[int, int]) -> Tensor:
    """Stuff, pad with zeros, filter with taps of sum ``up`` and decimate, one axis at a time."""
    taps_one = np.array(taps) / sum(taps) * up
    array = x.numpy()
    for axis in (2, 3):
        full = upfirdn(taps_one, array, up=up, axis=axis)
        # the full convolution starts len - 1 before the first tap fits; padding moves that start
        start = len(taps) - 1 - pad[0]
        length = array.shape[axis] * up + sum(pad) - len(taps) + 1
        full = np.concatenate([full, np.zeros_like(full)], axis=axis)
        array = np.take(full, range(start, start + length, down), axis=axis)
    return torch.from_numpy(array)


@pytest.mark.parametrize("taps", TAPS)
def test_resampling_is_that_of_scipy(taps: tuple[int, ...], generator: torch.Generator) -> None:
    x = torch.randn(2, 3, 6, 8, generator=generator, dtype=torch.float64)
    kernel, p = fir.fir_kernel(taps, x), len(taps) - 2
    half = ((p + 1) // 2, p // 2)
    torch.testing.assert_close(fir.downsample(x, kernel), _scipy(x, taps, 1, 2, half))
    torch.testing.assert_close(
        fir.upsample(x, kernel), _scipy(x, taps, 2, 1, (half[0] + 1, p // 2))
    )


def test_two_taps_repeat_and_average(generator: torch.Generator) -> None:
    x = torch.randn(1, 2, 4, 4, generator=generator)
    kernel = fir.fir_kernel((1, 1), x)
    torch.testing.assert_close(
        fir.upsample(x, kernel), x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    )
    torch.testing.assert_close(fir.downsample(x, kernel), F.avg_pool2d(x, 2))


@pytest.mark.parametrize("taps", TAPS[1:])
def test_fused_convolutions_stand_between(
    taps: tuple[int, ...], generator: torch.Generator
) -> None:
    x = torch.randn(2, 3, 6, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 3, 3, 3, generator=generator, dtype=torch.float64)
    kernel, length = fir.fir_kernel(taps, x), len(taps)
    stuffed = x.new_zeros(2, 3, 12, 12)
    stuffed[:, :, ::2, ::2] = x

    def smooth(image: Tensor, before: int, after: int) -> Tensor:
        padded = F.pad(image, (before, after, before, after))
        return F.conv2d(padded, kernel.expand(image.shape[1], 1, -1, -1), groups=image.shape[1])

    # far from the edges, the order of convolution and filter doesn't matter
    up = smooth(F.conv2d(stuffed, 4 * weight, padding=1), length // 2, length // 2 - 1)
    doubled = fir.convolve_then_upsample(x, weight, kernel)
    assert doubled.shape == (2, 5, 12, 12)
    inner = slice(length, -length)
    torch.testing.assert_close(doubled[..., inner, inner], up[..., inner, inner])
    down = F.conv2d(smooth(x, length // 2, length // 2), weight)[:, :, ::2, ::2]
    torch.testing.assert_close(fir.downsample_then_convolve(x, weight, kernel), down)


@pytest.mark.parametrize("taps", [(1, 2, 1), (1, 2), (-1, 1, 1, -1)])
def test_taps_that_shift_are_refused(taps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"symmetric taps, got \("):
        fir.fir_kernel(taps, torch.zeros(1))
