from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from invdiff.interpolants.gammas import SineSquaredGamma
from invdiff.interpolants.integrators import OdeMethod, integrate_ode, time_grid
from invdiff.interpolants.interpolant import OneSided, TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.paths import PowerPath, TrigonometricPath
from invdiff.priors.gaussian import GaussianMixturePrior

_METHODS = get_args(OdeMethod)
_ORDERS = {"euler": 1, "midpoint": 2, "heun": 2}


def gaussian(mean: float, variance: float) -> GaussianMixturePrior:
    one = torch.ones(1, dtype=torch.float64)
    return GaussianMixturePrior(one, mean * one[:, None], variance * one[:, None, None])


@pytest.fixture
def linear() -> MixtureProcess:
    # with a Brownian gamma the variance is quadratic in t, and the midpoint rule of order 3
    interpolant = TwoSided(PowerPath(2.0), SineSquaredGamma())
    return MixtureProcess(interpolant, gaussian(2, 0.1), gaussian(-1, 1))


def moved(process: MixtureProcess, x: Tensor, start: float, end: float) -> Tensor:
    # the flow of a Gaussian keeps the distance from the mean in standard deviations
    first, last = (process.marginal(torch.tensor(t, dtype=torch.float64)) for t in (start, end))
    ratio = (last.covariances / first.covariances).sqrt().squeeze()
    return last.means + ratio * (x - first.means)


@pytest.mark.parametrize("method", _METHODS)
@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (1.0, 0.0), (0.2, 0.7)])
def test_order_of_convergence_on_a_gaussian(
    linear: MixtureProcess, method: OdeMethod, start: float, end: float
) -> None:
    x = torch.linspace(-1, 2, 5, dtype=torch.float64).unsqueeze(1)
    steps, errors = [80, 160, 320], []
    for count in steps:
        found = integrate_ode(linear.velocity, x, time_grid(count, start, end), method=method)
        errors.append(float((found - moved(linear, x, start, end)).abs().max()))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(-_ORDERS[method], abs=0.15)


def test_trigonometric_path_of_standard_normals_stands_still() -> None:
    process = MixtureProcess(OneSided(TrigonometricPath()), gaussian(0, 1))
    x = torch.randn(4, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(integrate_ode(process.velocity, x, time_grid(3, 0, 1)), x)


@pytest.mark.parametrize("method", _METHODS)
def test_back_and_forth_undo_each_other(linear: MixtureProcess, method: OdeMethod) -> None:
    x = torch.linspace(-1, 2, 5, dtype=torch.float64).unsqueeze(1)
    errors = []
    for count in (100, 200):
        there = integrate_ode(linear.velocity, x, time_grid(count, 0.0, 1.0), method=method)
        back = integrate_ode(linear.velocity, there, time_grid(count, 1.0, 0.0), method=method)
        errors.append(float((back - x).abs().max()))
    # at least as fast as the order of the method
    assert errors[1] < errors[0] / 2 ** (_ORDERS[method] - 0.2)
    assert errors[1] < 0.2


@pytest.mark.parametrize("method", _METHODS)
def test_a_sample_does_not_depend_on_the_batch(linear: MixtureProcess, method: OdeMethod) -> None:
    x = torch.linspace(-1, 2, 5, dtype=torch.float64).unsqueeze(1)
    together = integrate_ode(linear.velocity, x, time_grid(20), method=method)
    alone = integrate_ode(linear.velocity, x[2:3], time_grid(20), method=method)
    torch.testing.assert_close(alone, together[2:3], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("method", _METHODS)
def test_steps_may_be_unequal(linear: MixtureProcess, method: OdeMethod) -> None:
    x = torch.linspace(-1, 2, 5, dtype=torch.float64).unsqueeze(1)
    found = integrate_ode(linear.velocity, x, time_grid(400, 0, 1) ** 2, method=method)
    expected = moved(linear, x, 0.0, 1.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05 if method == "euler" else 1e-4)


def test_callback_sees_every_step_and_precision_is_kept() -> None:
    seen: list[tuple[int, float]] = []
    times = time_grid(4, 0, 1)
    found = integrate_ode(
        lambda x, t: -x,
        torch.ones(2, 3),
        times,
        callback=lambda i, t, x: seen.append((i, float(t))),
    )
    assert seen == [(i, float(times[i + 1])) for i in range(4)]
    assert found.dtype == torch.float32


@pytest.mark.parametrize("bad", [(0, 0.1, 0.9), (4, 0.5, 0.5), (4, -0.1, 1.0), (4, 0.0, 1.1)])
def test_bad_grids_are_refused(bad: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="time_grid"):
        time_grid(*bad)


@pytest.mark.parametrize("times", [[0.5], [0.1, 0.1], [0.1, 0.5, 0.3], [[0.1, 0.2]]])
def test_times_that_are_no_grid_are_refused(times: list[float]) -> None:
    with pytest.raises(ValueError, match="monotonic"):
        integrate_ode(lambda x, t: x, torch.ones(1, 1), torch.tensor(times))
