from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from invdiff.priors.preconditioning import Network, Preconditioning
from invdiff.priors.score_preconditioning import (
    ContinuousVP,
    EDMVarianceExploding,
    ImprovedDDPM,
    ScoreVE,
)
from invdiff.training.levels import DiscreteLevels
from invdiff.training.objective import Noisy, Objective

ALL = [ScoreVE(), EDMVarianceExploding(), ContinuousVP(), ImprovedDDPM()]
SIGMAS = torch.tensor([0.02, 0.3, 1.0, 40.0], dtype=torch.float64)[:, None, None, None]
VARIANCE = 0.3


def _posterior_mean(x: Tensor, sigma: Tensor) -> Tensor:
    return VARIANCE / (VARIANCE + sigma**2) * x


def _exact(preconditioning: Preconditioning) -> Network:
    """Return what a perfect network of Gaussian data gives; levels come back from the label."""

    def score(x: Tensor, label: Tensor) -> Tensor:
        return -x / (VARIANCE + label.reshape(-1, 1, 1, 1) ** 2)

    def scaled_score(x: Tensor, label: Tensor) -> Tensor:
        sigma = 2 * label.exp().reshape(-1, 1, 1, 1)
        return -sigma * x / (VARIANCE + sigma**2)

    def noise(x: Tensor, label: Tensor) -> Tensor:
        assert isinstance(preconditioning, ContinuousVP)
        sigma = preconditioning.sigma(label / 999).reshape(-1, 1, 1, 1)
        return sigma * (1 + sigma**2).sqrt() * x / (VARIANCE + sigma**2)

    if isinstance(preconditioning, ScoreVE):
        return score
    return scaled_score if isinstance(preconditioning, EDMVarianceExploding) else noise


@pytest.mark.parametrize("preconditioning", ALL[:3])
def test_exact_network_gives_the_posterior_mean(
    preconditioning: Preconditioning, generator: torch.Generator
) -> None:
    x = torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.float64)
    denoised = preconditioning.denoise(_exact(preconditioning), x, SIGMAS)
    torch.testing.assert_close(denoised, _posterior_mean(x, SIGMAS))


@pytest.mark.parametrize("preconditioning", ALL)
def test_output_scale_is_the_slope_in_the_output(preconditioning: Preconditioning) -> None:
    x = torch.zeros(4, 2, 3, 3, dtype=torch.float64)
    low, high = (
        preconditioning.denoise(lambda x, label, c=c: torch.full_like(x, c), x, SIGMAS)
        for c in (0.0, 1.0)
    )
    expected = preconditioning.output_scale(SIGMAS).expand_as(x)
    # a score is the noise over sigma
    expected = expected * SIGMAS if isinstance(preconditioning, ScoreVE) else expected
    torch.testing.assert_close((high - low).abs(), expected)


def test_vp_time_solves_its_noise() -> None:
    vp = ContinuousVP()
    time = torch.logspace(-6, 0, 50, dtype=torch.float64)
    torch.testing.assert_close(vp.time(vp.sigma(time)), time, rtol=1e-10, atol=0)
    torch.testing.assert_close(
        vp.sigma(torch.ones((), dtype=torch.float64)),
        torch.tensor(math.sqrt(math.exp(10.05) - 1), dtype=torch.float64),
    )


def test_vp_noise_grows_with_the_integral_of_beta() -> None:
    vp = ContinuousVP(0.2, 8.0)
    time = torch.linspace(0.05, 1, 20, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad((1 + vp.sigma(time) ** 2).log().sum(), time)
    torch.testing.assert_close(slope, (0.2 + 7.8 * time).detach())


def test_vp_time_of_small_noise_keeps_its_digits() -> None:
    # the textbook root of the quadratic has none left here
    sigma = torch.tensor([1e-9], dtype=torch.float64)
    torch.testing.assert_close(ContinuousVP().time(sigma), sigma**2 / 0.1, rtol=1e-8, atol=0)


@pytest.mark.parametrize("ends", [(0.0, 20.0), (5.0, 5.0), (1.0, math.inf)])
def test_vp_refuses_other_betas(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="0 < beta_min < beta_max, got"):
        ContinuousVP(*ends)


def test_improved_ddpm_levels_are_those_of_its_cosine() -> None:
    levels = ImprovedDDPM().sigmas
    assert len(levels) == 1001
    assert levels[-1] == 0
    assert all(a > b for a, b in itertools.pairwise(levels))
    # without the floor, alpha-bar of level j is that of j over that of M
    kept = [math.sin(math.pi * j / 2016) ** 2 for j in range(1001)]
    assert levels[400] == pytest.approx(math.sqrt(kept[1000] / kept[400] - 1), rel=1e-9)
    # at the lowest step alpha-bar is 0, and the floor is what is left
    assert levels[0] == pytest.approx(math.sqrt((levels[1] ** 2 + 1) / 0.001 - 1))


def test_improved_ddpm_is_told_the_nearest_time() -> None:
    iddpm = ImprovedDDPM()
    levels = torch.tensor(iddpm.sigmas, dtype=torch.float64)
    torch.testing.assert_close(
        iddpm.time(levels[:-1]), torch.arange(999, -1, -1, dtype=torch.float64)
    )
    between = 0.6 * levels[300] + 0.4 * levels[301]
    assert iddpm.time(between[None]) == 699
    # no training time is below the first
    assert iddpm.time(torch.tensor([1e-6])) == 0


def test_improved_ddpm_leaves_the_variance_out() -> None:
    x = torch.ones(4, 2, 3, 3, dtype=torch.float64)
    denoised = ImprovedDDPM().denoise(lambda x, label: torch.cat([0 * x, x], dim=1), x, SIGMAS)
    torch.testing.assert_close(denoised, x)


def test_loss_of_a_score_is_that_of_the_publication(generator: torch.Generator) -> None:
    clean = torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.float64)
    noise = torch.randn(4, 2, 3, 3, generator=generator, dtype=torch.float64)
    noisy = Noisy(clean + SIGMAS * noise, SIGMAS)
    losses = Objective(ScoreVE(), DiscreteLevels((1.0,))).losses(lambda x, _: -x, clean, noisy)
    # sigma^2 |s + n / sigma|^2
    expected = (SIGMAS * (-noisy.x + noise / SIGMAS)).square().flatten(1).mean(1)
    torch.testing.assert_close(losses, expected)
