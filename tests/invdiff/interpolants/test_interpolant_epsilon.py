from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from invdiff.interpolants.diffusion import (
    ConstantEpsilon,
    CosineEpsilon,
    Epsilon,
    LinearEpsilon,
    NoiseScaleEpsilon,
    PointSourceEpsilon,
    ScoreFreeEpsilon,
    SineSquaredEpsilon,
    TabulatedEpsilon,
)
from invdiff.interpolants.gammas import BrownianGamma, SineSquaredGamma
from invdiff.interpolants.integrators import time_grid
from invdiff.interpolants.interpolant import Interpolant, OneSided, TwoSided, foellmer
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.paths import LinearPath, PowerPath, TrigonometricPath
from invdiff.priors.gaussian import GaussianMixturePrior

_TIMES = time_grid(10, 0.01, 0.99)
_ALL: list[Epsilon] = [
    ConstantEpsilon(0.5),
    CosineEpsilon(2.0),
    LinearEpsilon(2.0),
    NoiseScaleEpsilon(OneSided(), 2.0),
    PointSourceEpsilon(2.0),
    ScoreFreeEpsilon(OneSided()),
    SineSquaredEpsilon(2.0),
    TabulatedEpsilon(torch.tensor([0.2, 0.7]), torch.tensor([1.0, 3.0])),
]


@pytest.mark.parametrize("epsilon", _ALL, ids=lambda e: type(e).__name__)
def test_values_are_positive_and_of_the_shape_of_t(epsilon: Epsilon) -> None:
    values = epsilon(_TIMES)
    assert values.shape == _TIMES.shape
    assert values.dtype == torch.float64
    assert (values >= 0).all()
    torch.testing.assert_close(epsilon(_TIMES[3]), values[3])


@pytest.mark.parametrize(
    ("epsilon", "formula"),
    [
        (LinearEpsilon(2.0), lambda t: 2 * (1 - t)),
        (CosineEpsilon(2.0), lambda t: 0.5 * (math.cos(math.pi * t) + 1) ** 2),
        (SineSquaredEpsilon(2.0), lambda t: 2 * math.sin(math.pi * t) ** 2),
        (NoiseScaleEpsilon(OneSided(), 2.0), lambda t: 2 * (1 - t)),
        # beta' / beta gamma^2 - gamma gamma' with beta = t, gamma = 1 - t
        (ScoreFreeEpsilon(OneSided()), lambda t: (1 - t) / t),
        (
            ScoreFreeEpsilon(OneSided(TrigonometricPath())),
            lambda t: math.pi / 2 / math.tan(math.pi * t / 2),
        ),
        # a Brownian bridge comes from a Brownian motion of variance 2 epsilon
        (ScoreFreeEpsilon(TwoSided(gamma=BrownianGamma(3.0))), lambda t: 1.5),
        (ScoreFreeEpsilon(foellmer(2.0, 1.0)), lambda t: 2 * (1 - t**2)),
        (ScoreFreeEpsilon(foellmer(2.0, 2.0)), lambda t: 2 * (1 - t) * (3 - t)),
        (PointSourceEpsilon(2.0), lambda t: 2 * (1 - t) ** 2),
    ],
)
def test_formulas(epsilon: Epsilon, formula: object) -> None:
    expected = torch.tensor([formula(float(t)) for t in _TIMES])  # type: ignore[operator]
    torch.testing.assert_close(epsilon(_TIMES), expected.double())


def from_a_point(interpolant: Interpolant) -> MixtureProcess:
    # a base without variance: everything is given x0 = 0.7
    one = torch.ones(1, 1, dtype=torch.float64)
    target = GaussianMixturePrior(
        torch.tensor([0.4, 0.6], dtype=torch.float64),
        torch.tensor([[-1.0], [2.0]], dtype=torch.float64),
        torch.tensor([[[0.3]], [[0.5]]], dtype=torch.float64),
    )
    base = GaussianMixturePrior(one[0], 0.7 * one, 1e-20 * one[None])
    return MixtureProcess(interpolant, target, base)


@pytest.mark.parametrize(
    "interpolant",
    [foellmer(0.8, 1.0), foellmer(0.8, 2.0), TwoSided(), TwoSided(PowerPath(2), BrownianGamma(2))],
)
def test_score_free_noise_leaves_a_linear_backward_drift(
    interpolant: Interpolant, generator: torch.Generator
) -> None:
    process, epsilon = from_a_point(interpolant), ScoreFreeEpsilon(interpolant)
    x = torch.randn(6, 1, dtype=torch.float64, generator=generator)
    for t in _TIMES:
        c = interpolant.at(t)
        drift = process.velocity(x, t) - epsilon(t) * process.score(x, t)
        expected = c.alpha_dot * 0.7 + c.beta_dot / c.beta * (x - c.alpha * 0.7)
        torch.testing.assert_close(drift, expected)


def test_score_free_noise_of_noise_alone_is_the_noising_process(
    generator: torch.Generator,
) -> None:
    target = from_a_point(foellmer()).target
    process, x = MixtureProcess(OneSided(), target), torch.randn(6, 1, generator=generator)
    t = torch.tensor(0.3, dtype=torch.float64)
    drift = process.velocity(x, t) - ScoreFreeEpsilon(OneSided())(t) * process.score(x, t)
    torch.testing.assert_close(drift, x / 0.3, rtol=1e-5, atol=1e-5)


def test_point_source_drift_is_finite_at_the_start() -> None:
    process, epsilon = from_a_point(foellmer(0.8)), PointSourceEpsilon(0.8)
    drifts, velocities = [], []
    for time in (1e-2, 1e-4, 1e-6):
        t = torch.tensor(time, dtype=torch.float64)
        # one standard deviation off
        c = process.interpolant.at(t)
        x = (c.alpha * 0.7 + c.gamma).reshape(1, 1)
        velocities.append(float(process.velocity(x, t)))
        drifts.append(float(process.velocity(x, t) + epsilon(t) * process.score(x, t)))
    # E[alpha' x0 + beta' x1 - sigma W] tends to -x0
    assert drifts[-1] == pytest.approx(-0.7, abs=0.01)
    assert abs(velocities[-1]) > 100
    assert float(epsilon(t)) == pytest.approx(float(process.interpolant.at(t).gamma_product), 1e-4)


def test_score_free_noise_refuses_where_it_diverges() -> None:
    with pytest.raises(ValueError, match="start later"):
        ScoreFreeEpsilon(OneSided())(torch.tensor(0.0))
    with pytest.raises(ValueError, match="beta / gamma to increase"):
        ScoreFreeEpsilon(TwoSided(LinearPath(), SineSquaredGamma()))(torch.tensor(0.1))


def test_table_is_that_of_numpy() -> None:
    times, values = torch.tensor([0.2, 0.5, 0.6]).double(), torch.tensor([1.0, 0.0, 2.0]).double()
    t = time_grid(37, 0, 1)
    expected = np.interp(t.numpy(), times.numpy(), values.numpy())
    torch.testing.assert_close(TabulatedEpsilon(times, values)(t), torch.from_numpy(expected))


@pytest.mark.parametrize(
    ("times", "values"),
    [([0.1], [1.0]), ([0.1, 0.2], [1.0]), ([0.2, 0.1], [1.0, 1.0]), ([0.1, 0.2], [-1.0, 1.0]),
     ([0.1, 0.2], [math.inf, 1.0])],
)  # fmt: skip
def test_bad_tables_are_refused(times: list[float], values: list[float]) -> None:
    with pytest.raises(ValueError, match="TabulatedEpsilon"):
        TabulatedEpsilon(torch.tensor(times), torch.tensor(values))


@pytest.mark.parametrize(
    "kind", [ConstantEpsilon, CosineEpsilon, LinearEpsilon, PointSourceEpsilon, SineSquaredEpsilon]
)
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_bad_scales_are_refused(kind: type[ConstantEpsilon], value: float) -> None:
    with pytest.raises(ValueError, match=kind.__name__):
        kind(value)
    with pytest.raises(ValueError, match="NoiseScaleEpsilon"):
        NoiseScaleEpsilon(OneSided(), value)
