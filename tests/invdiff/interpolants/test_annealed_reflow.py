from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from invdiff.interpolants.annealed_reflow import (
    AnnealedPairs,
    Annealing,
    annealed_gaussian,
    annealed_reflow,
)
from invdiff.interpolants.couplings import PairedCoupling
from invdiff.interpolants.flow_prior import FlowPrior
from invdiff.interpolants.gaussian_coupling import JointGaussianProcess
from invdiff.interpolants.integrators import time_grid
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.networks import FieldMLP
from invdiff.interpolants.process import FieldProcess
from invdiff.interpolants.rectified_flow import (
    ReflowedGaussian,
    rectified,
    reflow,
    straightness,
)
from invdiff.priors.gaussian import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.training import Training, TrainingCheckpoint, drawn_network

EXACT = {"rtol": 1e-10, "atol": 1e-10}
MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.5, 0.7], [0.7, 0.8]], dtype=torch.float64)
FAST = Training(
    num_steps=300, learning_rate=0.05, num_warmup=10, weight_decay=0.0, ema_decay=0.9,
    dtype=torch.float32,
)  # fmt: skip


def normal(count, *labels, dtype=torch.float64):
    return torch.randn(count, 2, generator=derive_generator(0, *labels), dtype=dtype)


def root():
    values, vectors = torch.linalg.eigh(COVARIANCE)
    return vectors @ torch.diag(values.sqrt()) @ vectors.T


def exact_pairs(count, dtype=torch.float64):
    x0 = normal(count, "pairs", dtype=dtype)
    return PairedCoupling(x0, (MEAN + x0.double() @ root()).to(dtype))


class StraightFlow(nn.Module):
    """The straight flow to any normal law: its mean and the root of its covariance are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.root = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.eye(2))

    def forward(self, x, t):
        t = t.to(x).reshape(-1, 1)
        way = (1 - t)[..., None] * torch.eye(2).to(x) + t[..., None] * self.root
        x0 = torch.linalg.solve(way, (x - t * self.mean)[..., None])[..., 0]
        return self.mean + x0 @ (self.root.T - torch.eye(2).to(x))


@pytest.mark.parametrize(
    ("kind", "middle"),
    [
        ("linear", 0.5),
        ("exponential", (math.exp(-2.5) - math.exp(-5)) / (1 - math.exp(-5))),
        ("cosine", 2**-0.5),
    ],
)
def test_beta_falls_from_one_to_zero_and_stays_there(kind, middle):
    schedule = Annealing(40, kind)
    betas = [schedule.beta(step) for step in range(60)]
    assert betas[0] == 1
    assert betas[20] == pytest.approx(middle)
    assert all(a > b > 0 for a, b in itertools.pairwise(betas[:40]))
    assert betas[40:] == [0] * 20
    assert Annealing(0, kind).beta(0) == 0


def test_without_beta_the_draws_are_the_pairs_to_the_last_bit():
    pairs = exact_pairs(50)
    annealed = AnnealedPairs(pairs, 0.0).draw(20, derive_generator(0, "draw"))
    plain = pairs.draw(20, derive_generator(0, "draw"))
    assert torch.equal(annealed.x0, plain.x0)
    assert torch.equal(annealed.x1, plain.x1)


def test_at_first_the_base_has_nothing_of_the_pairs():
    pairs = exact_pairs(50)
    other = PairedCoupling(pairs.x0 + 7, pairs.x1)
    one, two = (AnnealedPairs(p, 1.0).draw(20, derive_generator(0, "draw")) for p in (pairs, other))
    assert torch.equal(one.x0, two.x0)
    assert torch.equal(one.x1, two.x1)
    assert len(torch.unique(one.x0, dim=0)) == 20


@pytest.mark.parametrize("step", [0, 3, 7, 10])
def test_draws_have_the_law_in_closed_form(step):
    beta, count = Annealing(10, "cosine").beta(step), 40_000
    draw = AnnealedPairs(exact_pairs(count), beta).draw(count, derive_generator(1, "d"))
    found = torch.cov(torch.cat([draw.x0, draw.x1], 1).T)
    law = annealed_gaussian(MEAN, COVARIANCE, beta)
    # four standard errors of covariances of at most 1.5
    within = {"rtol": 0, "atol": 4 * 1.5 * (2 / count) ** 0.5}
    torch.testing.assert_close(found[:2, :2], torch.eye(2).double(), **within)
    torch.testing.assert_close(found[:2, 2:], law.cross, **within)
    torch.testing.assert_close(found[2:, 2:], COVARIANCE, **within)


def process_at(beta):
    return JointGaussianProcess(rectified(), annealed_gaussian(MEAN, COVARIANCE, beta))


def test_the_velocity_goes_from_that_of_independent_ends_to_the_straight_one():
    x, t = normal(20, "x"), torch.rand(20, generator=derive_generator(0, "t")).double()
    independent = MixtureProcess(OneSided(), GaussianPrior(MEAN, COVARIANCE))
    torch.testing.assert_close(process_at(1.0).velocity(x, t), independent.velocity(x, t), **EXACT)
    straight = ReflowedGaussian(MEAN, COVARIANCE)
    torch.testing.assert_close(process_at(0.0).velocity(x, t), straight.velocity(x, t), **EXACT)


def test_the_velocity_between_is_that_of_one_number():
    # E[x1 - x0' | x_t] by the covariances of N(0, s^2), worked out by hand
    s, beta = 3.0, 0.6
    law = annealed_gaussian(torch.zeros(1).double(), torch.full((1, 1), s**2).double(), beta)
    process, x, c = JointGaussianProcess(rectified(), law), torch.ones(1, 1).double(), 0.8 * s
    for t in (0.1, 0.5, 0.9):
        variance = (1 - t) ** 2 + t**2 * s**2 + 2 * t * (1 - t) * c
        gain = (t * s**2 - (1 - t) + (1 - 2 * t) * c) / variance
        got = process.velocity(x, torch.tensor(t, dtype=torch.float64))
        assert got.item() == pytest.approx(gain, rel=1e-10)


def test_annealing_straightens_the_flow():
    x0, times = normal(500, "x0"), time_grid(30, 0.0, 1.0)
    found = [straightness(process_at(b).velocity, x0, times) for b in (1.0, 0.6, 0.3, 0.0)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 1e-20


def test_a_student_from_nothing_reaches_the_straight_flow():
    pairs = exact_pairs(2000, torch.float32)
    student = annealed_reflow(
        StraightFlow(),
        pairs,
        Annealing(200),
        FAST,
        batch_size=128,
        generator=derive_generator(0, "training"),
    )
    torch.testing.assert_close(student.mean.double(), MEAN, rtol=0, atol=0.01)
    torch.testing.assert_close(student.root.double(), root(), rtol=0, atol=0.01)


def test_the_straight_flow_has_no_gradient_on_its_pairs():
    student = StraightFlow().double()
    student.load_state_dict({"mean": MEAN, "root": root()})
    still = Training(num_steps=1, learning_rate=1e-3, num_warmup=0, dtype=torch.float32,
                     weight_decay=0.0, ema_decay=0.0)  # fmt: skip
    annealed_reflow(
        student, exact_pairs(100), Annealing(0), still, batch_size=50,
        generator=derive_generator(0, "still"),
    )  # fmt: skip
    assert student.root.grad.abs().max() < 1e-12
    assert student.mean.grad.abs().max() < 1e-12


def test_reflow_is_annealed_reflow_without_annealing():
    pairs, short = exact_pairs(200, torch.float32), Training(
        num_steps=200, learning_rate=0.05, num_warmup=10, weight_decay=0.0, ema_decay=0.9,
        dtype=torch.float32,
    )  # fmt: skip
    plain = reflow(StraightFlow(), pairs, short, batch_size=64, generator=derive_generator(0, "r"))
    annealed = annealed_reflow(
        StraightFlow(), pairs, Annealing(0), short, batch_size=64,
        generator=derive_generator(0, "r"),
    )  # fmt: skip
    # they draw other batches, of pairs without noise
    torch.testing.assert_close(plain.root, annealed.root, rtol=0, atol=0.01)


class Killed(Exception):
    """Stands for the end of a process."""


def test_a_killed_training_ends_with_the_same_bits(tmp_path):
    pairs, schedule = exact_pairs(100, torch.float32), Annealing(10, "exponential")
    short = Training(num_steps=12, num_warmup=2, ema_decay=0.9, dtype=torch.float32)

    def run(path=None, killed=None):
        generator = derive_generator(0, "resume")
        network = drawn_network(lambda: FieldMLP(2, width=8, depth=1), generator=generator)
        checkpoint = path and TrainingCheckpoint(path, {}, every=3, generators=(generator,))

        def callback(step):
            if step.step == killed:
                raise Killed

        trained = annealed_reflow(
            network, pairs, schedule, short, batch_size=8, generator=generator,
            checkpoint=checkpoint, callback=callback,
        )  # fmt: skip
        return trained.state_dict()

    whole = run()
    with pytest.raises(Killed):
        run(tmp_path / "state", killed=7)
    resumed = run(tmp_path / "state")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_straightened_flow_is_no_denoiser():
    # of N(0, s^2): s / (s + sigma) in place of s^2 / (s^2 + sigma^2), the same at s = sigma
    s, x = 2.0, torch.ones(1).double()
    mean, covariance = torch.zeros(1).double(), torch.full((1, 1), s**2).double()

    def denoised(velocity, sigma):
        process = FieldProcess(OneSided(), b=velocity)
        return FlowPrior(process, (-9.0, 9.0), (1,))(x, torch.tensor(sigma)).item()

    first = MixtureProcess(OneSided(), GaussianPrior(mean, covariance))
    straight = ReflowedGaussian(mean, covariance)
    for sigma in (0.1, 2.0, 10.0):
        expected = s**2 / (s**2 + sigma**2)
        assert denoised(first.velocity, sigma) == pytest.approx(expected, rel=1e-6)
        assert denoised(straight.velocity, sigma) == pytest.approx(s / (s + sigma), rel=1e-6)


def test_bad_input_raises():
    pairs, few = exact_pairs(10, torch.float32), Annealing(10)
    short = Training(num_steps=9, dtype=torch.float32)
    generator = derive_generator(0, "bad")
    with pytest.raises(ValueError, match="within the 9 steps, got 10"):
        annealed_reflow(StraightFlow(), pairs, few, short, batch_size=4, generator=generator)
    with pytest.raises(ValueError, match="batch_size >= 1"):
        annealed_reflow(StraightFlow(), pairs, few, FAST, batch_size=0, generator=generator)
    with pytest.raises(ValueError, match=r"AnnealedPairs: expected beta in \[0, 1\], got -1"):
        AnnealedPairs(pairs, -1.0)
    with pytest.raises(ValueError, match="step >= 0, got -1"):
        Annealing(3).beta(-1)
    with pytest.raises(ValueError, match="got -1 and 'linear'"):
        Annealing(-1)
    with pytest.raises(ValueError, match="got 3 and 'sine'"):
        Annealing(3, "sine")
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 1"):
        annealed_gaussian(MEAN, COVARIANCE, 1.5)
