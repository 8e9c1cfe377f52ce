from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from invdiff.interpolants.dopri5 import integrate_dopri5
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.linalg import NumericalWarning, expand_right
from invdiff.priors.gaussian import GaussianMixturePrior


@pytest.fixture
def process() -> MixtureProcess:
    eye = torch.eye(2, dtype=torch.float64)
    base = GaussianMixturePrior(
        torch.ones(1, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64), eye[None]
    )
    means = torch.tensor([[2.0, 0.0], [-2.0, 1.0]], dtype=torch.float64)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    target = GaussianMixturePrior(weights, means, 0.1 * torch.stack([eye, eye]))
    return MixtureProcess(TwoSided(), target, base)


def points(count: int, generator: torch.Generator) -> Tensor:
    return torch.randn(count, 2, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(("start", "end"), [(0.01, 0.99), (0.99, 0.01)])
def test_takes_the_steps_of_another_implementation(
    process: MixtureProcess, start: float, end: float, generator: torch.Generator
) -> None:
    x = points(1, generator)

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        time = torch.tensor(t, dtype=torch.float64)
        return process.velocity(torch.from_numpy(y)[None], time)[0].numpy()

    other = solve_ivp(slope, (start, end), x[0].numpy(), rtol=1e-6, atol=1e-8)
    solution = integrate_dopri5(process.velocity, x, start, end, rtol=1e-6, atol=1e-8)
    assert solution.num_calls == other.nfev
    assert int(solution.num_accepted) == len(other.t) - 1
    torch.testing.assert_close(solution.x[0], torch.from_numpy(other.y[:, -1]))


def test_is_as_accurate_as_asked(process: MixtureProcess, generator: torch.Generator) -> None:
    x = points(20, generator)
    exact = integrate_dopri5(process.velocity, x, 0.01, 0.99, rtol=1e-11, atol=1e-11).x
    for tolerance in (1e-4, 1e-6, 1e-8):
        found = integrate_dopri5(process.velocity, x, 0.01, 0.99, rtol=tolerance, atol=tolerance)
        assert float((found.x - exact).abs().max()) < 30 * tolerance
    fine = integrate_ode(process.velocity, x, time_grid(1000, 0.01, 0.99))
    torch.testing.assert_close(fine, exact, rtol=0, atol=1e-4)


def test_needs_fewer_calls_than_equal_steps_of_the_same_accuracy(
    process: MixtureProcess, generator: torch.Generator
) -> None:
    x = points(20, generator)
    exact = integrate_dopri5(process.velocity, x, 0.01, 0.99, rtol=1e-11, atol=1e-11).x
    adaptive = integrate_dopri5(process.velocity, x, 0.01, 0.99, rtol=1e-6, atol=1e-6)
    equal = integrate_ode(
        process.velocity, x, time_grid(adaptive.num_calls // 2, 0.01, 0.99), method="heun"
    )
    assert float((adaptive.x - exact).abs().max()) < 0.1 * float((equal - exact).abs().max())


def test_back_and_forth_returns_to_the_start(
    process: MixtureProcess, generator: torch.Generator
) -> None:
    x = points(10, generator)
    there = integrate_dopri5(process.velocity, x, 0.01, 0.99, rtol=1e-9, atol=1e-9).x
    back = integrate_dopri5(process.velocity, there, 0.99, 0.01, rtol=1e-9, atol=1e-9).x
    torch.testing.assert_close(back, x, rtol=0, atol=1e-6)


def test_a_sample_does_not_depend_on_the_batch(
    process: MixtureProcess, generator: torch.Generator
) -> None:
    x = points(12, generator)
    together = integrate_dopri5(process.velocity, x, 0.01, 0.99)
    assert len(together.num_accepted.unique()) > 1
    assert int(together.num_rejected.max()) > 0
    for i in (0, 5):
        alone = integrate_dopri5(process.velocity, x[i : i + 1], 0.01, 0.99)
        torch.testing.assert_close(alone.x[0], together.x[i], rtol=1e-12, atol=1e-12)
        assert alone.num_accepted[0] == together.num_accepted[i]
        assert alone.num_rejected[0] == together.num_rejected[i]


def test_a_polynomial_of_degree_five_is_exact() -> None:
    def slope(x: Tensor, t: Tensor) -> Tensor:
        return (5 * t**4).unsqueeze(-1).expand(x.shape)

    # so loose that it takes a single step after the guess
    found = integrate_dopri5(
        slope, torch.zeros(1, 1, dtype=torch.float64), 0.0, 1.0, rtol=10, atol=10
    )
    torch.testing.assert_close(found.x, torch.ones(1, 1, dtype=torch.float64))


def test_images_and_single_precision_are_kept() -> None:
    x = torch.ones(3, 1, 4, 4)
    found = integrate_dopri5(lambda x, t: -x, x, 0.0, 1.0)
    assert found.x.dtype == torch.float32
    torch.testing.assert_close(found.x, x * torch.tensor(-1.0).exp(), rtol=1e-4, atol=0)


def test_what_does_not_arrive_warns() -> None:
    def explodes(x: Tensor, t: Tensor) -> Tensor:
        return x**2

    x = torch.tensor([[2.0], [0.1]], dtype=torch.float64)
    with pytest.warns(NumericalWarning, match="1 of 2 samples"):
        solution = integrate_dopri5(explodes, x, 0.0, 1.0, max_steps=100)
    # the pole of 1 / (1/2 - t)
    assert float(solution.times[0]) == pytest.approx(0.5, abs=1e-3)
    assert float(solution.x[1]) == pytest.approx(1 / 9, rel=1e-4)


def test_an_undefined_slope_does_not_pass_for_an_answer() -> None:
    def undefined(x: Tensor, t: Tensor) -> Tensor:
        return torch.where(expand_right(t, 1) > 0.5, torch.nan, x)

    with pytest.warns(NumericalWarning, match="1 of 1 samples"):
        solution = integrate_dopri5(undefined, torch.ones(1, 1), 0.0, 1.0, max_steps=40)
    assert float(solution.times) <= 0.5
    assert solution.x.isfinite().all()


@pytest.mark.parametrize(
    "bad", [{"end": 0.0}, {"rtol": 0.0}, {"atol": -1.0}, {"max_steps": 0}, {"end": float("nan")}]
)
def test_bad_input_is_refused(bad: dict[str, float]) -> None:
    arguments: dict[str, float] = {"start": 0.0, "end": 1.0, **bad}
    with pytest.raises(ValueError, match="integrate_dopri5"):
        integrate_dopri5(lambda x, t: x, torch.ones(1, 1), **arguments)  # type: ignore[arg-type]


def test_a_step_into_where_nothing_is_defined_is_shortened():
    undefined = []

    def velocity(x, t):
        slope = -100 * (x.sqrt() - 1)
        undefined.append(bool(slope.isnan().any()))
        return slope

    start = torch.tensor([[4.0]], dtype=torch.float64)
    found = integrate_dopri5(velocity, start, 0.0, 1.0, rtol=1e-2, atol=1e-2)
    assert any(undefined)
    # the solution is 1 by then, up to the tolerance
    torch.testing.assert_close(found.x, torch.ones_like(start), rtol=0, atol=0.02)
