"""Each distribution of noise levels is the one its name says, and names find their settings."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare, kstest

from invdiff.priors.preconditioning import EDM, FlowMatching, VariancePreserving
from invdiff.rng import derive_generator
from invdiff.training.levels import DiscreteLevels, LogUniformLevels, NoiseLevels, UniformTimes
from invdiff.training.named_objectives import OBJECTIVES, objective_named
from invdiff.training.objective import GaussianPerturbation
from invdiff.training.perturbation import StudentPerturbation

COUNT = 8000
# a right distribution fails one seed in a thousand; these seeds don't
LEVEL = 1e-3


def drawn(levels):
    sigma = levels.sample(COUNT, derive_generator(0, "levels"))
    assert sigma.shape == (COUNT, 1, 1, 1)
    assert sigma.dtype == torch.float32
    assert (sigma > 0).all()
    assert sigma.isfinite().all()
    return sigma.flatten().double()


def test_log_uniform_levels():
    share = (drawn(LogUniformLevels(0.01, 20.0)).log() - math.log(0.01)) / math.log(2000)
    assert kstest(share.numpy(), "uniform").pvalue > LEVEL


def test_uniform_times():
    sigma = drawn(UniformTimes(0.1))
    share = (sigma / (1 + sigma) - 0.1) / 0.8
    assert kstest(share.numpy(), "uniform").pvalue > LEVEL
    assert sigma.min() >= 1 / 9 - 1e-6
    assert sigma.max() <= 9 + 1e-5


def test_log_normal_levels_are_logit_normal_times():
    sigma = drawn(NoiseLevels(0.3, 0.7))
    t = sigma / (1 + sigma)
    assert kstest(((t.logit() - 0.3) / 0.7).numpy(), "norm").pvalue > LEVEL


@pytest.mark.parametrize("name", ["ddpm", "sample", "v"])
@pytest.mark.parametrize("num_timesteps", [20, 1000])
def test_training_times_are_uniform_integers(name, num_timesteps):
    objective = objective_named(name, num_timesteps=num_timesteps)
    times = objective.preconditioning.time(drawn(objective.levels))
    torch.testing.assert_close(times, times.round(), rtol=0, atol=1e-3)
    # zero terminal SNR leaves the last time out
    expected = num_timesteps - (name == "v")
    counts = torch.bincount(times.round().long(), minlength=expected)
    assert len(counts) == expected
    assert chisquare(counts.numpy()).pvalue > LEVEL


def test_named_objectives_have_the_settings_of_their_papers():
    edm, flow = objective_named("edm"), objective_named("flow")
    assert (edm.preconditioning, edm.levels) == (EDM(0.5), NoiseLevels(-1.2, 1.2))
    assert (flow.preconditioning, flow.levels) == (FlowMatching(1000.0), NoiseLevels(0.0, 1.0))
    assert objective_named("pfgm").noise == StudentPerturbation(128.0)
    linear = objective_named("ddpm").preconditioning
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    abar = (1 - betas).cumprod(0)
    torch.testing.assert_close(
        torch.tensor(linear.sigmas).double(), ((1 - abar) / abar).sqrt(), rtol=1e-3, atol=0
    )


def test_levels_follow_the_spread_of_the_data():
    levels = [objective_named("edm", sigma_data=s).levels for s in (0.5, 0.1)]
    first, second = (drawn(v) for v in levels)
    torch.testing.assert_close(first / 5, second, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_objective_has_a_finite_loss(name):
    generator = derive_generator(1)
    objective = objective_named(name)
    clean = torch.rand(64, 1, 4, 4, generator=generator) * 2 - 1
    noisy = objective.draw(clean, generator)
    losses = objective.losses(lambda x, time: torch.zeros_like(x), clean, noisy)
    assert losses.shape == (64,)
    assert losses.isfinite().all()


def test_edm_is_pfgm_of_infinite_dimension_bit_for_bit():
    clean = torch.zeros(5, 1, 4, 4)
    edm, pfgm = objective_named("edm"), objective_named("pfgm", dof=math.inf)
    draws = [o.draw(clean, derive_generator(2)) for o in (edm, pfgm)]
    assert torch.equal(draws[0].x, draws[1].x)
    assert torch.equal(draws[0].sigma, draws[1].sigma)
    gaussian = GaussianPerturbation().sample(clean, derive_generator(3))
    assert torch.equal(StudentPerturbation(math.inf).sample(clean, derive_generator(3)), gaussian)
    # and the loss of a network goes there with the noise
    near = objective_named("pfgm", dof=1e13).draw(clean, derive_generator(2))
    losses = [edm.losses(lambda x, time: x.tanh(), clean, n) for n in (draws[0], near)]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dof", [1.0, 16.0, 128.0, 2.0**20])
@pytest.mark.parametrize("size", [1, 8])
def test_the_radius_is_that_of_pfgm(dof, size):
    clean = torch.zeros(2000, 3, size, size)
    noise = StudentPerturbation(dof).sample(clean, derive_generator(4, size))
    assert noise.dtype == torch.float32
    num = clean[0].numel()
    ratio = (noise.double() ** 2).flatten(1).sum(1) / num
    assert kstest(ratio.numpy(), "f", args=(num, dof)).pvalue > LEVEL


@pytest.mark.parametrize("bad", [
    lambda: LogUniformLevels(0.0, 1.0), lambda: LogUniformLevels(2.0, 1.0),
    lambda: UniformTimes(0.0), lambda: UniformTimes(0.5), lambda: DiscreteLevels(()),
    lambda: DiscreteLevels((1.0, math.inf)), lambda: StudentPerturbation(0.5),
    lambda: StudentPerturbation(math.nan), lambda: objective_named("vdm"),
    lambda: objective_named("edm", sigma_data=0.0), lambda: objective_named("pfgm", dof=0.0),
    lambda: objective_named("ddpm", num_timesteps=1),
])  # fmt: skip
def test_refuses_numbers_out_of_range(bad):
    with pytest.raises(ValueError, match="expected"):
        bad()


def test_discrete_levels_come_from_the_table():
    table = VariancePreserving((0.1, 0.5, 2.0), "epsilon").sigmas
    assert drawn(DiscreteLevels(table)).unique().tolist() == pytest.approx(list(table))
