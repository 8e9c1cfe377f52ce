from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from invdiff.interpolants.diffusion import ConstantEpsilon, Epsilon, LinearEpsilon
from invdiff.interpolants.divergence import HutchinsonDivergence, exact_divergence, hutchinson
from invdiff.interpolants.dopri5 import integrate_dopri5
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import Interpolant, TwoSided
from invdiff.interpolants.kl_bounds import kl_monte_carlo
from invdiff.interpolants.likelihood import ode_log_prob, standard_normal_log_prob
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.process import Field
from invdiff.interpolants.sde import integrate_sde
from invdiff.interpolants.sde_likelihood import PathWeights, sampler_log_prob, sde_log_prob
from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.rng import derive_generator

CONSTANT, FADING = ConstantEpsilon(0.5), LinearEpsilon()
EYE = torch.eye(2, dtype=torch.float64)


def standard(dim: int) -> GaussianMixturePrior:
    eye = torch.eye(dim, dtype=torch.float64)
    return GaussianMixturePrior(torch.ones(1).double(), torch.zeros(1, dim).double(), eye[None])


@pytest.fixture
def process() -> MixtureProcess:
    means = torch.tensor([[2.0, 0.0], [-2.0, 1.0]], dtype=torch.float64)
    tilted = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    target = GaussianMixturePrior(weights, means, torch.stack([0.3 * EYE, tilted]))
    return MixtureProcess(TwoSided(), target, standard(2))


def base_log_prob(x: Tensor) -> Tensor:
    return standard(x.shape[-1]).log_prob(x)


def heun(num_steps: int) -> Callable[[Field, Tensor], Tensor]:
    return lambda field, state: integrate_ode(field, state, time_grid(num_steps, 1.0, 0.0))


def dopri5(field: Field, state: Tensor) -> Tensor:
    return integrate_dopri5(field, state, 1.0, 0.0, rtol=1e-7, atol=1e-7).x


def test_density_along_the_ode_is_exact(
    process: MixtureProcess, generator: torch.Generator
) -> None:
    x = process.target.sample(20, generator=generator)
    found = ode_log_prob(process.velocity, x, base_log_prob, dopri5)
    torch.testing.assert_close(found, process.target.log_prob(x), rtol=0, atol=1e-5)


def test_density_converges_with_the_order_of_the_solver(
    process: MixtureProcess, generator: torch.Generator
) -> None:
    x, steps, errors = process.target.sample(10, generator=generator), [40, 80, 160], []
    for count in steps:
        found = ode_log_prob(process.velocity, x, base_log_prob, heun(count))
        errors.append(float((found - process.target.log_prob(x)).abs().max()))
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(-2, abs=0.2)


def test_random_probes_have_the_right_mean_of_the_density(
    process: MixtureProcess, generator: torch.Generator
) -> None:
    x = process.target.sample(1, generator=generator).expand(300, 2)
    exact = ode_log_prob(process.velocity, x[:1], base_log_prob, heun(20))
    probes = hutchinson(x, generator=generator)
    found = ode_log_prob(process.velocity, x, base_log_prob, heun(20), divergence=probes)
    assert float(found.std()) > 0.01
    assert abs(float(found.mean() - exact)) < 4 * float(found.std()) / 300**0.5


def test_learned_weights_can_be_trained_by_the_density() -> None:
    scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    x = torch.ones(1, 2, dtype=torch.float64)
    found = ode_log_prob(lambda x, t: scale * x, x, base_log_prob, heun(50))
    (slope,) = torch.autograd.grad(found.sum(), scale)
    # log N(e^-a x; 0, 1) - 2 a
    assert float(slope) == pytest.approx(2 * math.exp(-1) - 2, rel=1e-3)


def test_divergence_of_a_known_field() -> None:
    def field(x: Tensor, t: Tensor) -> Tensor:
        return torch.stack([x[:, 0] ** 2 * x[:, 1], x[:, 1].sin()], 1) * t.unsqueeze(-1)

    x = torch.tensor([[1.0, 2.0], [-0.5, 0.3]], dtype=torch.float64)
    t = torch.tensor([1.0, 2.0], dtype=torch.float64)
    value, divergence = exact_divergence(field, x, t)
    torch.testing.assert_close(value, field(x, t))
    torch.testing.assert_close(divergence, t * (2 * x[:, 0] * x[:, 1] + x[:, 1].cos()))


def test_divergence_of_a_network_on_images(generator: torch.Generator) -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(2, 1, 3, 3, generator=generator)

    def field(x: Tensor, t: Tensor) -> Tensor:
        output: Tensor = network(x)
        return output

    with torch.no_grad():
        value, divergence = exact_divergence(field, x, torch.tensor(0.5))
    torch.testing.assert_close(value, network(x))
    torch.testing.assert_close(divergence, (9 * network.weight[0, 0, 1, 1]).expand(2))


@pytest.mark.parametrize("kind", ["signs", "gaussian"])
def test_variance_of_random_probes(kind: str, generator: torch.Generator) -> None:
    matrix = torch.randn(4, 4, dtype=torch.float64, generator=generator)
    symmetric = (matrix + matrix.T) / 2
    x = torch.zeros(4000, 4, dtype=torch.float64)
    probes = hutchinson(x, 2, kind=kind, generator=generator)  # type: ignore[arg-type]
    _, found = probes(lambda x, t: x @ matrix.T, x, torch.tensor(0.0))
    left_out = 0.0 if kind == "gaussian" else float(symmetric.diag().square().sum())
    # of one probe twice as much
    expected = float(symmetric.square().sum()) - left_out
    assert float(found.var()) == pytest.approx(expected, rel=0.15)
    error = math.sqrt(expected / len(x))
    assert abs(float(found.mean() - matrix.trace())) < 4 * error


def test_probes_belong_to_the_sample() -> None:
    def probes(count: int) -> Tensor:
        like = torch.zeros(count, 3)
        return hutchinson(like, 2, generator=torch.Generator().manual_seed(5)).probes

    torch.testing.assert_close(probes(2), probes(6)[:, :2], rtol=0, atol=0)
    assert not torch.equal(probes(6)[:, 0], probes(6)[:, 1])


def test_probes_of_another_batch_are_refused(generator: torch.Generator) -> None:
    probes = hutchinson(torch.zeros(3, 2), generator=generator)
    with pytest.raises(ValueError, match="HutchinsonDivergence"):
        probes(lambda x, t: x, torch.zeros(4, 2), torch.tensor(0.0))
    with pytest.raises(ValueError, match="at least one probe"):
        HutchinsonDivergence(torch.zeros(0, 3, 2))


def weigh(
    kind: Callable[..., PathWeights],
    process: MixtureProcess | Perturbed,
    x: Tensor,
    times: Tensor,
    num_paths: int,
    generator: torch.Generator,
    epsilon: Epsilon = CONSTANT,
) -> PathWeights:
    return kind(
        process,
        x,
        base_log_prob,
        times,
        num_paths,
        epsilon=epsilon,
        generator=generator,
    )


@pytest.mark.parametrize("kind", [sde_log_prob, sampler_log_prob])
@pytest.mark.parametrize("epsilon", [0.2, 1.0])
def test_every_path_weighs_the_density_if_the_fields_are_exact(
    kind: Callable[..., PathWeights],
    epsilon: float,
    process: MixtureProcess,
    generator: torch.Generator,
) -> None:
    x, steps, spread, errors = process.target.sample(20, generator=generator), [50, 200], [], []
    for count in steps:
        times, noise = time_grid(count, 1, 0), ConstantEpsilon(epsilon)
        found = weigh(kind, process, x, times, 8, generator, noise)
        assert found.log_weights.shape == (20, 8)
        spread.append(float(found.variance.mean()))
        errors.append(float((found.mean - process.target.log_prob(x)).abs().mean()))
    # the variance of order 1, so the deviation of a path of order 1 / 2
    assert spread[1] < spread[0] / 2.5
    assert spread[1] < 0.1
    assert errors[1] < 0.08


@dataclass(frozen=True)
class Perturbed:
    exact: MixtureProcess
    of_velocity: float = 0.3
    of_score: float = 0.2

    @property
    def interpolant(self) -> Interpolant:
        return self.exact.interpolant

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        return self.exact.velocity(x, t) + self.of_velocity

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        return (1 + self.of_score) * self.exact.score(x, t)


@pytest.fixture
def learned() -> Perturbed:
    one = torch.ones(1, dtype=torch.float64)
    target = GaussianMixturePrior(one, one[:, None], 0.5 * one[:, None, None])
    return Perturbed(MixtureProcess(TwoSided(), target, standard(1)))


def law_of_sampler(
    process: Perturbed, num_steps: int, epsilon: Epsilon = CONSTANT
) -> GaussianMixturePrior:
    # Euler-Maruyama is affine: start and each draw have a coefficient
    start = torch.zeros(num_steps + 2, 1, dtype=torch.float64)
    start[1] = 1
    count = iter(range(num_steps))

    def impulse() -> Tensor:
        draw = torch.zeros_like(start)
        draw[2 + next(count)] = 1
        return draw

    times = time_grid(num_steps, 0.0, 1.0)
    end = integrate_sde(process, start, times, epsilon=epsilon, noise=impulse)
    variance = ((end[1:] - end[0]) ** 2).sum()
    return GaussianMixturePrior(
        torch.ones(1, dtype=torch.float64), end[:1], variance.reshape(1, 1, 1)
    )


@pytest.mark.parametrize("epsilon", [CONSTANT, FADING], ids=["constant", "fading"])
def test_weights_of_the_steps_average_to_the_density_of_the_sampler(
    learned: Perturbed, epsilon: Epsilon, generator: torch.Generator
) -> None:
    # few steps: the law of the sampler is far from that of the SDE, and must be met all the same
    x, exact = torch.tensor([[0.0], [1.0], [2.0]]).double(), law_of_sampler(learned, 5, epsilon)
    found = weigh(sampler_log_prob, learned, x, time_grid(5, 1, 0), 20000, generator, epsilon)
    ratio = (found.log_weights - exact.log_prob(x)[:, None]).exp()
    error = ratio.std(1) / 20000**0.5
    assert (error < 0.03).all()
    assert ((ratio.mean(1) - 1).abs() < 4 * error).all()
    assert (
        float((exact.log_prob(x) - law_of_sampler(learned, 400, epsilon).log_prob(x)).abs().max())
        > 0.05
    )


def test_weights_of_the_sde_average_to_the_law_of_the_learned_fields(
    learned: Perturbed, generator: torch.Generator
) -> None:
    x, exact = torch.tensor([[0.0], [1.0], [2.0]]).double(), law_of_sampler(learned, 2000)
    found = weigh(sde_log_prob, learned, x, time_grid(200, 1, 0), 3000, generator)
    torch.testing.assert_close(found.log_prob, exact.log_prob(x), rtol=0, atol=0.03)
    truth = learned.exact.target.log_prob(x)
    assert float((found.log_prob - truth).abs().max()) > 0.15
    assert (found.mean < found.log_prob).all()


@pytest.mark.parametrize("kind", [sde_log_prob, sampler_log_prob])
def test_weights_of_a_point_do_not_depend_on_the_batch(
    kind: Callable[..., PathWeights], learned: Perturbed
) -> None:
    x, times = torch.tensor([[0.0], [1.0], [2.0]]).double(), time_grid(10, 1, 0)
    alone, together = (
        weigh(kind, learned, x[:count], times, 4, torch.Generator().manual_seed(2)).log_weights
        for count in (1, 3)
    )
    torch.testing.assert_close(alone, together[:1], rtol=1e-12, atol=1e-12)


def test_weights_measure_the_divergence_of_a_sampler(
    learned: Perturbed, generator: torch.Generator
) -> None:
    target, sampled = learned.exact.target, law_of_sampler(learned, 50)
    x = target.sample(2000, generator=generator)
    weights = weigh(sampler_log_prob, learned, x, time_grid(50, 1, 0), 40, generator)
    found = kl_monte_carlo(target.log_prob(x), weights.log_prob)
    ratio = float(target.covariances / sampled.covariances)
    shift = float((target.means - sampled.means) ** 2 / sampled.covariances)
    expected = (ratio - 1 - math.log(ratio) + shift) / 2
    assert abs(found.value - expected) < 4 * found.standard_error + 0.005


def test_a_step_without_noise_is_refused(
    process: MixtureProcess, generator: torch.Generator
) -> None:
    x = torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="epsilon > 0"):
        sampler_log_prob(
            process,
            x,
            base_log_prob,
            time_grid(4, 1, 0),
            1,
            epsilon=lambda t: FADING(1 - t),
            generator=generator,
        )


@pytest.mark.parametrize("kind", [sde_log_prob, sampler_log_prob])
@pytest.mark.parametrize(("times", "paths"), [((0.0, 1.0), 1), ((1.0, 0.0), 0)])
def test_bad_paths_are_refused(
    kind: Callable[..., PathWeights],
    times: tuple[float, float],
    paths: int,
    process: MixtureProcess,
    generator: torch.Generator,
) -> None:
    x = torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="decreasing times and num_paths"):
        kind(
            process,
            x,
            base_log_prob,
            time_grid(4, *times),
            paths,
            epsilon=ConstantEpsilon(1),
            generator=generator,
        )


def test_the_standard_normal_density_is_that_of_its_entries():
    x = torch.randn(4, 2, 3, generator=derive_generator(0, "normal"), dtype=torch.float64)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(standard_normal_log_prob(x), expected)
