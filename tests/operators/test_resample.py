from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import Downsample
from operators.testing import check_operator

KERNELS = ("box", "bicubic", "lanczos3")


@pytest.mark.parametrize("kernel", KERNELS)
def test_constant_stays_constant(kernel):
    x = torch.full((12, 8), 3.7, dtype=torch.float64)
    y = Downsample((12, 8), 4, kernel)(x)
    torch.testing.assert_close(y, torch.full((3, 2), 3.7, dtype=torch.float64))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("factor", [2, 3])
def test_ramp_stays_a_ramp_inside(kernel, factor):
    size = 60
    y = Downsample((size,), factor, kernel)(torch.arange(size, dtype=torch.float64))
    centres = (torch.arange(size // factor, dtype=torch.float64) + 0.5) * factor - 0.5
    torch.testing.assert_close(y[4:-4], centres[4:-4])


def test_box_is_the_mean_of_a_block(generator):
    x = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    expected = x.reshape(2, 3, 4, 2).mean((1, 3))
    torch.testing.assert_close(Downsample((6, 8), (3, 2), "box")(x), expected)


def test_bicubic_weights_are_the_stretched_kernel():
    # Keys' kernel at (k + 1/2) / 2 over 2, k = 0 ... 3
    t = torch.tensor([0.25, 0.75, 1.25, 1.75], dtype=torch.float64)
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    half = torch.where(t < 1, near, far) / 2
    x = torch.eye(16, dtype=torch.float64)
    row = Downsample((16,), 2)(x)[:, 4]
    torch.testing.assert_close(row[4:14], torch.cat([row[4:5], half.flip(0), half, row[13:14]]))
    torch.testing.assert_close(row[4:5], torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize("kernel", ["bicubic", "lanczos3"])
def test_what_the_coarse_grid_cannot_hold_is_suppressed(kernel):
    n = torch.arange(120, dtype=torch.float64)
    passed, aliased = torch.cos(2 * torch.pi * n / 60), torch.cos(2 * torch.pi * n / 3.3)
    operator = Downsample((120,), 4, kernel)
    assert operator(passed)[3:-3].abs().max() > 0.9
    assert operator(aliased)[3:-3].abs().max() < 0.05


def test_ends_are_reflected_half_a_sample_outside():
    x = torch.arange(8, dtype=torch.float64)
    extended = torch.cat([x.flip(0), x, x.flip(0)])
    expected = Downsample((24,), 2, "lanczos3")(extended)[4:8]
    torch.testing.assert_close(Downsample((8,), 2, "lanczos3")(x), expected)


def test_factor_one_is_the_identity_for_the_box(generator):
    x = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(Downsample((3, 4), 1, "box")(x), x)


@given(
    blocks=st.integers(1, 5),
    factor=st.integers(1, 4),
    kernel=st.sampled_from(KERNELS),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=25)
def test_laws_hold_for_every_size(blocks, factor, kernel, seed):
    operator = Downsample((blocks * factor, 2), (factor, 2), kernel)
    check_operator(operator, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("factor", "kernel"), [(4, "box"), (0, "box"), ((2, 2, 2), "box"), (2, "nearest")]
)
def test_refuses_factor_and_kernel(factor, kernel):
    with pytest.raises(ValueError, match="Downsample"):
        Downsample((6, 6), factor, kernel)
