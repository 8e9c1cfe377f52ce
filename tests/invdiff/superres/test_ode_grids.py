import math
from typing import get_args

import pytest
import torch

from invdiff.superres.grids import Grid, noise_grid

GRIDS = get_args(Grid)


def time_of(sigma):
    """The time at which the diffusion with betas from 0.1 to 20 has a noise level, by bisection."""
    low, high = torch.zeros_like(sigma), torch.full_like(sigma, 5.0)
    for _ in range(60):
        middle = (low + high) / 2
        above = torch.expm1(0.1 * middle + 19.9 / 2 * middle**2) > sigma**2
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return low


SCALES = {
    "edm": lambda sigma: sigma ** (1 / 7),
    "log_snr": torch.log,
    "quadratic": lambda sigma: time_of(sigma).sqrt(),
    "uniform": time_of,
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("sigma_max", "sigma_min"), [(2.0, 0.002), (80.0, 1e-4), (0.5, 0.4)])
def test_levels_are_equally_spaced_on_the_scale_of_the_grid(grid, sigma_max, sigma_min):
    sigmas = noise_grid(grid, 9, sigma_max, sigma_min)
    assert sigmas.shape == (9,)
    assert sigmas.dtype == torch.float64
    assert (sigmas.diff() < 0).all()
    torch.testing.assert_close(sigmas[[0, -1]], torch.tensor([sigma_max, sigma_min]).double())
    scale = SCALES[grid](sigmas)
    torch.testing.assert_close(scale, torch.linspace(scale[0], scale[-1], 9).double())


@pytest.mark.parametrize("grid", GRIDS)
def test_twice_as_many_steps_keep_the_levels(grid):
    coarse, fine = (noise_grid(grid, n, 10.0, 0.01) for n in (6, 11))
    torch.testing.assert_close(fine[::2], coarse)


def test_times_are_those_of_a_thousand_discrete_betas():
    signal = (1 - torch.linspace(1e-4, 0.02, 1000).double()).cumprod(0)
    discrete = ((1 - signal) / signal).sqrt()
    first, last = 199, 899
    sigmas = noise_grid("uniform", 8, discrete[last].item(), discrete[first].item())
    # the continuous time differs from the discrete one by half a step in a thousand
    torch.testing.assert_close(sigmas.flip(0), discrete[first : last + 1 : 100], rtol=5e-3, atol=0)


def test_two_levels_are_the_ends():
    for grid in GRIDS:
        torch.testing.assert_close(noise_grid(grid, 2, 3.0, 0.1), torch.tensor([3.0, 0.1]).double())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(
    ("num_steps", "sigma_max", "sigma_min"),
    [(1, 1.0, 0.1), (5, 0.1, 1.0), (5, 1.0, 1.0), (5, 1.0, 0.0), (5, 1.0, -0.1),
     (5, math.inf, 0.1), (5, math.nan, 0.1), (5, 1.0, math.nan)],
)  # fmt: skip
def test_refuses_levels_out_of_order(grid, num_steps, sigma_max, sigma_min):
    with pytest.raises(ValueError, match="sigma_min < sigma_max"):
        noise_grid(grid, num_steps, sigma_max, sigma_min)


def test_refuses_an_unknown_grid():
    with pytest.raises(ValueError, match="expected one of edm, log_snr, quadratic, uniform"):
        noise_grid("cosine", 5, 1.0, 0.1)
