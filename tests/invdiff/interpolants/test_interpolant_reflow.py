from __future__ import annotations

import pytest
import torch
from scipy.integrate import quad

from invdiff.interpolants.couplings import PairedCoupling
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.networks import FieldMLP, told
from invdiff.interpolants.rectified_flow import (
    ReflowedGaussian,
    rectified,
    reflow,
    reflow_pairs,
    straightness,
    transport_cost,
)
from invdiff.priors.gaussian import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.theory.sliced import max_sliced_wasserstein2
from invdiff.training import Training

EXACT = {"rtol": 1e-10, "atol": 1e-10}
MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.5, 0.7], [0.7, 0.8]], dtype=torch.float64)


def normal(count, *labels, dtype=torch.float64):
    return torch.randn(count, 2, generator=derive_generator(0, *labels), dtype=dtype)


def root():
    values, vectors = torch.linalg.eigh(COVARIANCE)
    return vectors @ torch.diag(values.sqrt()) @ vectors.T


def test_a_gaussian_flow_maps_by_the_root_of_the_covariance():
    process = MixtureProcess(OneSided(), GaussianPrior(MEAN, COVARIANCE))
    pairs = reflow_pairs(process.velocity, normal(20, "base"), time_grid(400, 0.0, 1.0))
    expected = MEAN + pairs.x0 @ root()
    torch.testing.assert_close(pairs.x1, expected, rtol=0, atol=1e-4)


def test_one_euler_step_of_the_straightened_gaussian_flow_is_exact():
    flow, x0 = ReflowedGaussian(MEAN, COVARIANCE), normal(20, "base")
    one = integrate_ode(flow.velocity, x0, time_grid(1, 0.0, 1.0), method="euler")
    torch.testing.assert_close(one, MEAN + x0 @ root(), **EXACT)
    seven = integrate_ode(flow.velocity, x0, time_grid(7, 0.0, 1.0), method="euler")
    torch.testing.assert_close(seven, one, **EXACT)
    assert straightness(flow.velocity, x0, time_grid(20, 0.0, 1.0)) < 1e-20


def test_the_straightened_velocity_is_the_mean_of_the_pairs_velocity():
    # x1 - x0 is a function of x_t on the pairs: no mean is left to take
    flow, x0, t = ReflowedGaussian(MEAN, COVARIANCE), normal(20, "base"), torch.tensor(0.4)
    x1 = MEAN + x0 @ root()
    x = rectified().point(t.double(), x0, x1, torch.zeros_like(x1))
    torch.testing.assert_close(flow.velocity(x, t.double()), x1 - x0, **EXACT)


def test_the_gaussian_flow_of_independent_ends_is_not_straight_but_has_the_optimal_cost():
    process = MixtureProcess(OneSided(), GaussianPrior(MEAN, COVARIANCE))
    x0, times = normal(4000, "base"), time_grid(50, 0.0, 1.0)
    assert straightness(process.velocity, x0, times) > 0.01
    independent = transport_cost(PairedCoupling(x0, MEAN + normal(4000, "other") @ root()))
    first = transport_cost(reflow_pairs(process.velocity, x0, times))
    second = transport_cost(reflow_pairs(ReflowedGaussian(MEAN, COVARIANCE).velocity, x0, times))
    assert first < 0.6 * independent
    assert second == pytest.approx(first, rel=1e-3)
    # Bures: |m|^2 + tr(S + I - 2 S^(1/2)), within four standard errors of the draws
    optimal = float(MEAN @ MEAN + torch.trace(COVARIANCE + torch.eye(2) - 2 * root()))
    assert second == pytest.approx(optimal, rel=0.06)


def test_the_straightness_of_a_gaussian_flow_is_its_integral():
    # N(0, s^2): x_t = r x0 with r^2 = (1 - t)^2 + t^2 s^2, and r(1) - r(0) = s - 1
    s, x0 = 3.0, normal(50, "base")
    process = MixtureProcess(OneSided(), GaussianPrior(torch.zeros(2).double(), s**2))

    def square(t):
        r = ((1 - t) ** 2 + t**2 * s**2) ** 0.5
        return (s - 1 - (t * s**2 - (1 - t)) / r) ** 2

    expected = quad(square, 0, 1)[0] * float((x0**2).sum(1).mean())
    got = straightness(process.velocity, x0, time_grid(200, 0.0, 1.0))
    assert got == pytest.approx(expected, rel=1e-3)


MODES = torch.tensor([[-2.0, 1.0], [2.0, 1.0], [0.0, -2.0]], dtype=torch.float64)


def mixture():
    return GaussianMixturePrior(
        torch.tensor([0.3, 0.3, 0.4], dtype=torch.float64),
        MODES,
        0.09 * torch.eye(2, dtype=torch.float64).expand(3, 2, 2),
    )


def test_reflow_on_a_mixture_lowers_the_cost_and_straightens_the_flow():
    target, teacher_times = mixture(), time_grid(60, 0.0, 1.0)
    teacher = MixtureProcess(OneSided(), target)
    pairs = reflow_pairs(teacher.velocity, normal(4000, "pairs"), teacher_times)
    pairs = PairedCoupling(pairs.x0.float(), pairs.x1.float())
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        network = FieldMLP(2, width=64, depth=3)
    training = Training(
        num_steps=700, learning_rate=4e-3, num_warmup=50, ema_decay=0.98, dtype=torch.float32
    )
    generator = derive_generator(0, "reflow")
    student = told(reflow(network, pairs, training, batch_size=256, generator=generator), None)

    x0 = normal(2000, "test")
    independent = transport_cost(
        PairedCoupling(x0, target.sample(2000, generator=derive_generator(0, "target")))
    )
    first = reflow_pairs(teacher.velocity, x0, teacher_times)
    second = reflow_pairs(student, x0.float(), time_grid(60, 0.0, 1.0))
    assert transport_cost(first) < 0.75 * independent
    assert transport_cost(second) < 1.01 * transport_cost(first)
    times = time_grid(60, 0.0, 1.0)
    before, after = (
        straightness(teacher.velocity, x0, times),
        straightness(student, x0.float(), times),
    )
    assert after < 0.2 * before

    def error(velocity, x, num_steps):
        x = integrate_ode(velocity, x, time_grid(num_steps, 0.0, 1.0), method="euler")
        exact = target.sample(4000, generator=derive_generator(1, "target"))
        return max_sliced_wasserstein2(
            x.double().detach(), exact, generator=derive_generator(0, "directions")
        )

    with torch.no_grad():
        two_of_teacher, two_of_student = (
            error(teacher.velocity, x0, 2),
            error(student, x0.float(), 2),
        )
    assert two_of_student < 0.6 * two_of_teacher


def test_bad_input_raises():
    with pytest.raises(ValueError, match="squared"):
        ReflowedGaussian(MEAN, torch.eye(3))
    with pytest.raises(ValueError, match="positive definite"):
        ReflowedGaussian(MEAN, torch.zeros(2, 2))
