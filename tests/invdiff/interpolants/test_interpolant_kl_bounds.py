from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from invdiff.interpolants.couplings import IndependentCoupling
from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import Interpolant, OneSided, TwoSided
from invdiff.interpolants.kl_bounds import (
    FieldErrors,
    field_differences,
    field_errors,
    kl_monte_carlo,
    kl_on_grid,
)
from invdiff.interpolants.likelihood import ode_log_prob
from invdiff.interpolants.losses import interpolant_loss
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.paths import TrigonometricPath
from invdiff.interpolants.process import FieldProcess
from invdiff.priors.gaussian import GaussianMixturePrior


def gaussian(mean: float, variance: float) -> GaussianMixturePrior:
    one = torch.ones(1, dtype=torch.float64)
    return GaussianMixturePrior(one, mean * one[:, None], variance * one[:, None, None])


@dataclass(frozen=True)
class Perturbed:
    exact: MixtureProcess
    of_velocity: float
    of_score: float

    @property
    def interpolant(self) -> Interpolant:
        return self.exact.interpolant

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        return self.exact.velocity(x, t) + self.of_velocity

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        return self.exact.score(x, t) + self.of_score * x


@pytest.fixture
def exact() -> MixtureProcess:
    return MixtureProcess(TwoSided(), gaussian(0, 0.5), gaussian(0, 1))


def learned_law(exact: MixtureProcess, epsilon: float, delta: float) -> tuple[float, float]:
    # moments of dX = (b_F + delta) dt + sqrt(2 epsilon) dW, whose drift is linear in x
    times, one = time_grid(500, 0, 1), torch.ones(1, 1, dtype=torch.float64)
    mean, variance = 0.0, 1.0
    for t, end in itertools.pairwise(times):
        half = (t + end) / 2
        slope = float(exact.velocity(one, half) + epsilon * exact.score(one, half))
        h = float(end - t)
        grown = math.exp(slope * h)
        mean = grown * mean + delta * math.expm1(slope * h) / slope
        variance = grown**2 * variance + epsilon * math.expm1(2 * slope * h) / slope
    return mean, variance


@pytest.mark.parametrize(
    ("epsilon", "divergence", "bound"),
    [(0.1, 0.0593, 0.2250), (0.5, 0.0321, 0.0450), (2.0, 0.00562, 0.01125)],
)
def test_bound_holds_for_a_constant_error_of_the_drift(
    exact: MixtureProcess,
    epsilon: float,
    divergence: float,
    bound: float,
    generator: torch.Generator,
) -> None:
    errors = field_errors(
        exact, Perturbed(exact, 0.3, 0.0), time_grid(10, 0, 1), 8, generator=generator
    )
    mean, variance = learned_law(exact, epsilon, 0.3)
    points = torch.linspace(-7, 7, 4001, dtype=torch.float64)
    log_p, log_q = (
        gaussian(m, v).log_prob(points[:, None]) for m, v in [(0.0, 0.5), (mean, variance)]
    )
    assert errors.drift_bound(ConstantEpsilon(epsilon)) == pytest.approx(bound, abs=1e-9)
    assert errors.bound(ConstantEpsilon(epsilon)) == pytest.approx(2 * bound, abs=1e-9)
    assert kl_on_grid(log_p, log_q, points) == pytest.approx(divergence, rel=0.005)


def test_errors_are_means_over_the_law(exact: MixtureProcess, generator: torch.Generator) -> None:
    times = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    errors = field_errors(exact, Perturbed(exact, 0.3, 0.2), times, 40000, generator=generator)
    variance = torch.stack([exact.marginal(t).covariances.squeeze() for t in times])
    torch.testing.assert_close(errors.velocity, torch.full_like(times, 0.09))
    torch.testing.assert_close(errors.score, 0.04 * variance, rtol=0.04, atol=0)
    torch.testing.assert_close(errors.cross, torch.zeros_like(times), rtol=0, atol=0.002)


def some_errors() -> FieldErrors:
    times = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    return FieldErrors(times, 0.1 + times, 2 - times, 0.3 * times)


def test_best_constant_minimises_both_bounds() -> None:
    errors, best = some_errors(), some_errors().best_constant()
    for bound in (errors.bound, errors.drift_bound):
        at_best = bound(ConstantEpsilon(best))
        assert at_best < bound(ConstantEpsilon(1.05 * best))
        assert at_best < bound(ConstantEpsilon(0.95 * best))


def test_best_schedule_beats_any_constant() -> None:
    errors = some_errors()
    schedule = errors.best_schedule()
    torch.testing.assert_close(schedule(errors.times), (errors.velocity / errors.score).sqrt())
    for bound in (errors.bound, errors.drift_bound):
        assert bound(schedule) < bound(ConstantEpsilon(errors.best_constant()))


def test_the_first_bound_is_the_sharper_one() -> None:
    errors = some_errors()
    for epsilon in (0.05, 0.5, 5.0):
        constant = ConstantEpsilon(epsilon)
        assert errors.drift_bound(constant) <= errors.bound(constant)


def test_ode_has_no_bound_unless_the_velocity_is_exact() -> None:
    errors = some_errors()
    assert errors.bound(ConstantEpsilon(0.0)) == math.inf
    zero = torch.zeros_like(errors.times)
    faultless = FieldErrors(errors.times, zero, errors.score, zero)
    assert faultless.bound(ConstantEpsilon(0.0)) == 0


def test_schedule_is_limited_where_the_score_is_exact() -> None:
    errors = some_errors()
    without = FieldErrors(errors.times, errors.velocity, 0 * errors.times, 0 * errors.times)
    assert (without.best_schedule(3.0).values == 3).all()
    with pytest.raises(ValueError, match="error of the score"):
        without.best_constant()


def test_differences_to_the_truth_are_errors_and_excess_losses(
    exact: MixtureProcess, generator: torch.Generator
) -> None:
    coupling = IndependentCoupling(
        lambda n, g: exact.target.sample(n, generator=g),
        lambda n, g: gaussian(0, 1).sample(n, generator=g),
    )
    times = torch.tensor([0.3, 0.6], dtype=torch.float64)
    learned = Perturbed(exact, 0.3, 0.2)
    found = field_differences(exact, learned, coupling, times, 20000, generator=generator)
    expected = field_errors(exact, learned, times, 20000, generator=generator)
    torch.testing.assert_close(found.velocity, expected.velocity)
    torch.testing.assert_close(found.score, expected.score, rtol=0.05, atol=0)
    draw, t = coupling.draw(20000, generator), times[:1].expand(20000)
    z = torch.randn(draw.x1.shape, dtype=torch.float64, generator=generator)
    excess = interpolant_loss(
        learned.velocity, "b", exact.interpolant, draw, t, z
    ) - interpolant_loss(exact.velocity, "b", exact.interpolant, draw, t, z)
    error = float(excess.std()) / 20000**0.5
    assert abs(float(excess.mean()) - float(found.velocity[0]) / 2) < 4 * error


def test_monte_carlo_agrees_with_the_divergence_of_gaussians(generator: torch.Generator) -> None:
    p, q = gaussian(0, 1), gaussian(1, 1)
    x = p.sample(20000, generator=generator)
    value, error = kl_monte_carlo(p.log_prob(x), q.log_prob(x))
    # log p - log q = 1/2 - x
    assert error == pytest.approx(20000**-0.5, rel=0.03)
    assert abs(value - 0.5) < 4 * error


def test_bad_input_is_refused(exact: MixtureProcess, generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="increasing times"):
        field_errors(exact, exact, torch.tensor([0.5, 0.2]), 4, generator=generator)
    with pytest.raises(ValueError, match="log densities"):
        kl_monte_carlo(torch.zeros(3), torch.zeros(4))


def test_ode_error_may_vanish_while_its_divergence_does_not() -> None:
    # b = 0 keeps N(0, 1); the error (c / n) sin(n x) is a fixed flow in the scaled variable n x,
    # of Jacobian 1 / (cosh c + sinh c cos n x), whose mean log is 2 log cosh(c / 2)
    c, base = 2.0, gaussian(0, 1)
    process = MixtureProcess(OneSided(TrigonometricPath()), base)
    points = torch.linspace(-7, 7, 6001, dtype=torch.float64)[:, None]
    times = time_grid(2, 0.1, 0.9)
    bounds = []
    for n in (8, 32):

        def velocity(x: Tensor, t: Tensor, n: int = n) -> Tensor:
            return process.velocity(x, t) + c / n * (n * x).sin()

        log_q = ode_log_prob(
            velocity,
            points,
            base.log_prob,
            lambda field, state: integrate_ode(field, state, time_grid(60, 1.0, 0.0)),
        )
        found = kl_on_grid(base.log_prob(points), log_q, points[:, 0])
        assert found == pytest.approx(2 * math.log(math.cosh(c / 2)), rel=0.1)
        learned = FieldProcess(process.interpolant, b=velocity, s=process.score)
        seeded = torch.Generator().manual_seed(0)
        errors = field_errors(process, learned, times, 4000, generator=seeded)
        bounds.append(errors.drift_bound(ConstantEpsilon(1.0)))
    assert bounds[1] == pytest.approx(bounds[0] / 16, rel=0.1)
    assert bounds[0] < 0.01
