"""Tables of noise levels have the digits of float64, and are those of diffusers."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from diffusers import DDPMScheduler

from invdiff.priors.noise_schedule import discrete_sigmas


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", ["linear", "scaled_linear", "sigmoid", "squaredcos_cap_v2"])
def test_table_is_that_of_diffusers(name: str, zero: bool) -> None:
    settings = {"num_train_timesteps": 200, "beta_schedule": name, "beta_start": 2e-4,
                "beta_end": 0.03, "rescale_betas_zero_snr": zero}  # fmt: skip
    sigmas = torch.tensor(discrete_sigmas(settings), dtype=torch.float64)
    abar = DDPMScheduler(**settings).alphas_cumprod.double()
    assert len(sigmas) == 200 - zero
    assert not zero or abar[-1] == 0
    torch.testing.assert_close(1 / (1 + sigmas**2), abar[: len(sigmas)], rtol=3e-5, atol=3e-7)


def test_cosine_is_its_closed_form() -> None:
    steps = 1000
    sigmas = discrete_sigmas({"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": steps})
    first = math.cos(0.008 / 1.008 * math.pi / 2)
    for t in (0, 1, 10, 500, 990):
        kept = math.cos((((t + 1) / steps) + 0.008) / 1.008 * math.pi / 2) / first
        assert sigmas[t] == pytest.approx(math.sqrt(1 / kept**2 - 1), rel=1e-10)


def test_early_levels_are_those_of_exact_arithmetic() -> None:
    betas = [1.1e-9, 3.7e-9, 0.03]
    kept = Fraction(1)
    for beta, sigma in zip(betas, discrete_sigmas({"trained_betas": betas}), strict=True):
        kept *= 1 - Fraction(beta)
        assert sigma**2 == pytest.approx(float((1 - kept) / kept), rel=1e-12, abs=0)


def test_last_beta_of_one_is_left_out() -> None:
    assert discrete_sigmas({"trained_betas": [0.1, 0.2, 1.0]}) == discrete_sigmas(
        {"trained_betas": [0.1, 0.2]}
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta_schedule": "exp"}, "beta_schedule of linear, .* got 'exp'"),
        ({"num_train_timesteps": "many"}, "num_train_timesteps >= 2, got 'many'"),
        ({"num_train_timesteps": 1}, "num_train_timesteps >= 2, got 1"),
        ({"num_train_timesteps": 2, "rescale_betas_zero_snr": True}, "two finite noise levels"),
        ({"beta_start": "small"}, "could not convert"),
        ({"beta_start": -1.0}, r"betas in \(0, 1\).*got \[-1.0, "),
        ({"trained_betas": [0.1, 1.5]}, r"betas in \(0, 1\).*got \[0.1, 1.5\]"),
        ({"trained_betas": [0.1, "x"]}, "could not convert"),
        ({"trained_betas": [0.1, [0.2]]}, "float"),
        ({"trained_betas": []}, "two finite noise levels"),
        ({"trained_betas": [0.1, math.nan]}, r"betas in \(0, 1\)"),
        ({"trained_betas": 0.1}, "scheduler"),
    ],
)
def test_what_is_no_table_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        discrete_sigmas(settings)
    assert str(caught.value).startswith("scheduler: ")
    assert "\n" not in str(caught.value)
