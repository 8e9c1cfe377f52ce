import pytest
import torch

from invdiff.samplers import linear_beta_sigmas


def test_all_times_give_the_whole_schedule():
    sigmas = linear_beta_sigmas(999)
    kept = 1 / (1 + sigmas.flip(0) ** 2)
    betas = 1 - kept / torch.cat([torch.ones(1).double(), kept[:-1]])
    torch.testing.assert_close(betas, torch.linspace(1e-4, 0.02, 999, dtype=torch.float64))


@pytest.mark.parametrize("betas", [(1e-4, 0.02), (0.02, 1e-4)])
@pytest.mark.parametrize("num_steps", [2, 50, 99, 400, 998])
def test_levels_decrease_by_about_equal_shares_of_signal(betas, num_steps):
    sigmas = linear_beta_sigmas(num_steps, *betas)
    assert sigmas.shape == (num_steps,)
    assert (sigmas.diff() < 0).all()
    assert sigmas[0] == linear_beta_sigmas(999, *betas)[0]
    signal = torch.cat([(1 + sigmas**2).rsqrt(), torch.ones(1).double()])
    # a step of time is at most 0.0101 of the signal, and a drop ends with the first that suffices
    assert signal.diff().max() < 1 / num_steps + 0.0101


@pytest.mark.parametrize("settings", [(1,), (1000,), (10, 0.0, 0.02), (10, 1e-4, 1.0)])
def test_refuses_what_is_no_schedule(settings):
    with pytest.raises(ValueError, match="betas"):
        linear_beta_sigmas(*settings)
