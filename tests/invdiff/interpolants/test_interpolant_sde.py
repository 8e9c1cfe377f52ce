from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from invdiff.interpolants.diffusion import ConstantEpsilon, Epsilon, LinearEpsilon
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import Interpolant, OneSided, TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.paths import PowerPath
from invdiff.interpolants.process import FieldProcess
from invdiff.interpolants.sde import SdeMethod, integrate_sde
from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.theory.marginals import quantiles

_METHODS = get_args(SdeMethod)


def mixture(
    weights: list[float], means: list[float], variances: list[float]
) -> GaussianMixturePrior:
    w, m, v = (
        torch.tensor(numbers, dtype=torch.float64) for numbers in (weights, means, variances)
    )
    return GaussianMixturePrior(w, m[:, None], v[:, None, None])


@pytest.fixture
def linear() -> MixtureProcess:
    # on a straight path every scheme would have the mean exactly
    return MixtureProcess(TwoSided(PowerPath()), mixture([1], [2], [0.3]), mixture([1], [-1], [1]))


def law_of_scheme(
    process: MixtureProcess, times: Tensor, epsilon: Epsilon, method: SdeMethod
) -> tuple[float, float]:
    # the scheme is affine in the start and in each draw: its coefficients give mean and variance
    steps = len(times) - 1
    start = torch.zeros(steps + 2, 1, dtype=torch.float64)
    start[1] = 1
    count = iter(range(steps))

    def impulse() -> Tensor:
        draw = torch.zeros_like(start)
        draw[2 + next(count)] = 1
        return draw

    end = integrate_sde(process, start, times, epsilon=epsilon, noise=impulse, method=method)
    first, slopes = process.marginal(times[0]), end[1:] - end[0]
    mean = end[0] + slopes[0] * first.means.squeeze()
    variance = slopes[0] ** 2 * first.covariances.squeeze() + (slopes[1:] ** 2).sum()
    return float(mean), float(variance)


@pytest.mark.parametrize("method", _METHODS)
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize(
    "epsilon", [ConstantEpsilon(0.1), ConstantEpsilon(1.0), ConstantEpsilon(5.0), LinearEpsilon(2)]
)
def test_mean_and_variance_converge_with_the_order_of_the_method(
    linear: MixtureProcess, method: SdeMethod, start: float, end: float, epsilon: Epsilon
) -> None:
    exact = linear.marginal(torch.tensor(end, dtype=torch.float64))
    steps, errors = [100, 200, 400], []
    for count in steps:
        mean, variance = law_of_scheme(linear, time_grid(count, start, end), epsilon, method)
        of_mean, of_variance = mean - float(exact.means), variance - float(exact.covariances)
        errors.append([abs(of_mean), abs(of_variance)])
    assert max(errors[-1]) < (0.01 if method == "euler" else 1e-3)
    rates = [np.polyfit(np.log(steps), np.log(column), 1)[0] for column in np.transpose(errors)]
    order = {"euler": 1, "heun": 2}[method]
    assert rates == pytest.approx([-order, -order], abs=0.2)


REFERENCE = (
    mixture([1 / 3] * 3, [-6, 0, 6], [0.5, 0.33, 0.5]),
    mixture([0.5, 0.5], [-3, 3], [0.25, 0.25]),
)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 5.0])
@pytest.mark.parametrize("forward", [True, False])
def test_any_noise_gives_the_marginals_of_a_mixture(
    epsilon: float, forward: bool, generator: torch.Generator
) -> None:
    process = MixtureProcess(TwoSided(), *REFERENCE)
    ends = (1e-4, 1 - 1e-4) if forward else (1 - 1e-4, 1e-4)
    times, count = time_grid(200, *ends), 2000
    # equal quantiles at the start, so that only the noise is random
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    x = quantiles(process.marginal(times[0]), levels).reshape(-1, 1)
    noise = SampleNoise(generator, count, x)
    seen: dict[float, Tensor] = {}
    integrate_sde(
        process,
        x,
        times,
        epsilon=ConstantEpsilon(epsilon),
        noise=noise,
        method="heun",
        callback=lambda i, t, x: seen.update({float(t): x}),
    )
    for time in (float(times[100]), float(times[200])):
        exact = quantiles(process.marginal(torch.tensor(time, dtype=torch.float64)), levels)
        distance = (seen[time].flatten().sort().values - exact.flatten()).abs().mean()
        # the distance of an independent sample of this size is about 0.1
        assert float(distance) < 0.25


@pytest.mark.parametrize("method", _METHODS)
@pytest.mark.parametrize("ends", [(0.0, 1.0), (1.0, 0.0)])
def test_no_noise_is_the_ode(
    linear: MixtureProcess, method: SdeMethod, ends: tuple[float, float]
) -> None:
    x, times = torch.linspace(-1, 1, 4, dtype=torch.float64).unsqueeze(1), time_grid(20, *ends)
    found = integrate_sde(
        linear,
        x,
        times,
        epsilon=ConstantEpsilon(0),
        noise=lambda: torch.ones_like(x),
        method=method,
    )
    expected = integrate_ode(linear.velocity, x, times, method=method)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_no_noise_asks_for_no_score_where_it_is_infinite() -> None:
    process = MixtureProcess(TwoSided(), mixture([1], [2], [0.3]), mixture([1], [0], [1e-300]))
    learned = FieldProcess(TwoSided(), b=process.velocity, eta=lambda x, t: torch.ones_like(x))
    x = torch.ones(2, 1, dtype=torch.float64)
    found = integrate_sde(
        learned,
        x,
        torch.tensor([0.0, 0.1], dtype=torch.float64),
        epsilon=ConstantEpsilon(0),
        noise=lambda: x,
    )
    assert found.isfinite().all()


def test_euler_may_end_where_the_score_is_infinite() -> None:
    process = MixtureProcess(OneSided(), mixture([1], [2], [0.3]))
    learned = FieldProcess(OneSided(), b=process.velocity)
    x = torch.ones(2, 1, dtype=torch.float64)
    found = integrate_sde(
        learned, x, time_grid(10, 0.1, 1.0), epsilon=ConstantEpsilon(1), noise=lambda: x
    )
    assert found.isfinite().all()


@pytest.mark.parametrize("method", _METHODS)
def test_last_step_may_end_in_the_mean(linear: MixtureProcess, method: SdeMethod) -> None:
    x, times = torch.ones(3, 1, dtype=torch.float64), time_grid(5, 0.1, 0.9)
    calls: list[int] = []

    def noise() -> Tensor:
        calls.append(1)
        return torch.ones_like(x)

    def run(grid: Tensor, last_noise: bool) -> Tensor:
        return integrate_sde(
            linear,
            x,
            grid,
            epsilon=ConstantEpsilon(1),
            noise=noise,
            method=method,
            last_noise=last_noise,
        )

    clean, before = run(times, False), run(times[:-1], True)
    assert len(calls) == 4 + 4

    def drift(x: Tensor, t: Tensor) -> Tensor:
        return linear.velocity(x, t) + linear.score(x, t)

    torch.testing.assert_close(clean, integrate_ode(drift, before, times[-2:], method=method))


def test_sampling_a_sample_alone_gives_the_same(
    linear: MixtureProcess, generator: torch.Generator
) -> None:
    x, times = torch.linspace(-1, 1, 6, dtype=torch.float64).unsqueeze(1), time_grid(20)

    def run(count: int) -> Tensor:
        seeded = torch.Generator().manual_seed(3)
        noise = SampleNoise(seeded, count, x[:count])
        return integrate_sde(linear, x[:count], times, epsilon=ConstantEpsilon(1), noise=noise)

    torch.testing.assert_close(run(2), run(6)[:2], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (2, 40, 40)])
def test_noise_is_standard_normal_and_of_the_sample(shape: tuple[int, ...]) -> None:
    def draws(count: int) -> Tensor:
        noise = SampleNoise(torch.Generator().manual_seed(1), count, torch.zeros(count, *shape))
        # past the end of a block
        return torch.stack([noise() for _ in range(400 if len(shape) == 1 else 3)])

    few, many = draws(2), draws(5)
    assert many.shape[1:] == (5, *shape)
    torch.testing.assert_close(few, many[:, :2], rtol=0, atol=0)
    tolerance = 5 / math.sqrt(many.numel())
    assert abs(float(many.mean())) < tolerance
    assert abs(float(many.var()) - 1) < 2 * tolerance
    assert len(many.unique()) > 0.99 * many.numel()


def interpolant_and_fields(process: MixtureProcess) -> list[FieldProcess]:
    kind: Interpolant = process.interpolant
    fields: list[dict[str, Callable[[Tensor, Tensor], Tensor]]] = [
        {"b": process.velocity, "eta": process.noise},
        {"v": process.path_velocity, "s": process.score},
    ]
    return [FieldProcess(kind, **chosen) for chosen in fields]


def test_fields_that_are_equivalent_sample_the_same(linear: MixtureProcess) -> None:
    x, times = torch.linspace(-1, 1, 4, dtype=torch.float64).unsqueeze(1), time_grid(10)

    def run(process: FieldProcess | MixtureProcess) -> Tensor:
        return integrate_sde(
            process, x, times, epsilon=ConstantEpsilon(1), noise=lambda: torch.ones_like(x)
        )

    for process in interpolant_and_fields(linear):
        torch.testing.assert_close(run(process), run(linear))


def test_times_that_are_no_grid_are_refused(linear: MixtureProcess) -> None:
    x = torch.ones(1, 1)
    with pytest.raises(ValueError, match="monotonic"):
        integrate_sde(
            linear, x, torch.tensor([0.1, 0.1]), epsilon=ConstantEpsilon(1), noise=lambda: x
        )
