import itertools

import pytest
import torch
from torch import Tensor

from invdiff.interpolants import conversions
from invdiff.interpolants.gammas import (
    BrownianGamma,
    FoellmerGamma,
    NoGamma,
    QuadraticGamma,
    SigmoidGamma,
    SineSquaredGamma,
)
from invdiff.interpolants.interpolant import Mirror, OneSided, TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.paths import (
    EncodingDecodingPath,
    LinearPath,
    PowerPath,
    TrigonometricPath,
)
from invdiff.interpolants.process import FieldProcess, velocity_and_score
from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.rng import derive_generator

PATHS = [LinearPath(), PowerPath(), TrigonometricPath(), EncodingDecodingPath()]
NOISY = [
    BrownianGamma(0.8),
    FoellmerGamma(),
    QuadraticGamma(),
    SineSquaredGamma(),
    SigmoidGamma(),
]
TWO_SIDED = [
    TwoSided(path, gamma)
    for path, gamma in itertools.product(PATHS, NOISY)
    if not (isinstance(path, TrigonometricPath) and isinstance(gamma, SineSquaredGamma))
]
ONE_SIDED = [OneSided(), OneSided(PowerPath(1.5)), OneSided(TrigonometricPath())]
MIRRORS = [Mirror(gamma) for gamma in NOISY]
TIMES = torch.linspace(0.03, 0.97, 24, dtype=torch.float64)  # 1/2 is not one of them


def _mixture(seed: int) -> GaussianMixturePrior:
    g = derive_generator(seed, "mixture")
    factor = torch.randn(2, 3, 3, generator=g, dtype=torch.float64)
    covariances = factor @ factor.mT / 3 + 0.2 * torch.eye(3, dtype=torch.float64)
    means = 2 * torch.randn(2, 3, generator=g, dtype=torch.float64)
    return GaussianMixturePrior(torch.tensor([0.4, 0.6]).double(), means, covariances)


def _process(interpolant) -> MixtureProcess:
    return MixtureProcess(interpolant, _mixture(1), _mixture(0) if interpolant.has_x0 else None)


def _points() -> Tensor:
    return torch.randn(len(TIMES), 3, generator=derive_generator(2), dtype=torch.float64)


def _close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def _fields(process: MixtureProcess):
    return {
        "b": process.velocity,
        "v": process.path_velocity,
        "s": process.score,
        "eta": process.noise,
    }


@pytest.mark.parametrize("interpolant", TWO_SIDED + ONE_SIDED + MIRRORS, ids=repr)
def test_each_field_from_the_others(interpolant):
    process, x, t = _process(interpolant), _points(), TIMES
    b, v, s, eta = (field(x, t) for field in _fields(process).values())
    _close(conversions.score_from_noise(interpolant, eta, t), s)
    _close(conversions.noise_from_score(interpolant, s, t), eta)
    _close(conversions.velocity_from_noise(interpolant, v, eta, t), b)
    _close(conversions.velocity_from_score(interpolant, v, s, t), b)
    _close(conversions.path_velocity_from_velocity(interpolant, b, s, t), v)


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_without_noise_the_velocity_is_that_of_the_path(path):
    process, x = _process(TwoSided(path, NoGamma())), _points()
    t = TIMES if not isinstance(path, EncodingDecodingPath) else TIMES[:5]
    _close(process.velocity(x[: len(t)], t), process.path_velocity(x[: len(t)], t))


@pytest.mark.parametrize("interpolant", ONE_SIDED + MIRRORS, ids=repr)
def test_one_sided_fields_from_one(interpolant):
    process, x, t = _process(interpolant), _points(), TIMES
    b, s, eta = process.velocity(x, t), process.score(x, t), process.noise(x, t)
    _close(conversions.one_sided_velocity(interpolant, x, eta, t), b)
    _close(conversions.one_sided_velocity_from_score(interpolant, x, s, t), b)
    _close(conversions.one_sided_noise(interpolant, x, b, t), eta)
    _close(conversions.one_sided_target(interpolant, x, b, t), process.target_mean(x, t))


@pytest.mark.parametrize("interpolant", ONE_SIDED, ids=repr)
def test_one_sided_identities(interpolant):
    """E[x1 | x] = (x + a^2 s) / beta and b = (beta'/beta) x + a (a beta'/beta - a') s."""
    process, x = _process(interpolant), _points()
    c, s = interpolant.at(TIMES).expanded(x), process.score(x, TIMES)
    _close((x + c.gamma**2 * s) / c.beta, process.target_mean(x, TIMES))
    ratio = c.beta_dot / c.beta
    b = ratio * x + c.gamma * (c.gamma * ratio - c.gamma_dot) * s
    _close(b, process.velocity(x, TIMES))


def test_conversions_that_stay_finite_at_the_ends():
    x, zero, one = _points(), torch.tensor(0.0).double(), torch.tensor(1.0).double()
    process = _process(TwoSided())
    for t in (zero, one):
        v, s = process.path_velocity(x, t), process.score(x, t)
        found = conversions.velocity_from_score(process.interpolant, v, s, t)
        _close(found, process.velocity(x, t))
    mirror = _process(Mirror())
    found = FieldProcess(mirror.interpolant, s=mirror.score).velocity(x, zero)
    _close(found, mirror.velocity(x, zero))
    rectified = _process(OneSided())
    noise = conversions.one_sided_noise(rectified.interpolant, x, rectified.velocity(x, zero), zero)
    _close(noise, x)
    target = conversions.one_sided_target(rectified.interpolant, x, rectified.velocity(x, one), one)
    _close(target, x)


class _Counted:
    def __init__(self, field):
        self.field, self.calls = field, 0

    def __call__(self, x, t):
        self.calls += 1
        return self.field(x, t)


def _legal(interpolant, names):
    noise, speed = {"s", "eta"} & names, {"b", "v"} & names
    if interpolant.has_x0:
        return bool(noise and speed)
    return bool(noise) or ("b" in names and isinstance(interpolant, OneSided))


COMBINATIONS = [set(c) for k in range(5) for c in itertools.combinations(("b", "v", "s", "eta"), k)]


@pytest.mark.parametrize("names", COMBINATIONS, ids=lambda c: "+".join(sorted(c)) or "none")
@pytest.mark.parametrize("interpolant", [TwoSided(), OneSided(), Mirror()], ids=repr)
def test_process_of_every_combination(interpolant, names):
    exact, x = _process(interpolant), _points()
    fields = {name: _Counted(_fields(exact)[name]) for name in names}
    if not _legal(interpolant, names):
        with pytest.raises(ValueError, match="FieldProcess: expected"):
            FieldProcess(interpolant, **fields)
        return
    process = FieldProcess(interpolant, **fields)
    _close(process.velocity(x, TIMES), exact.velocity(x, TIMES))
    _close(process.score(x, TIMES), exact.score(x, TIMES))
    _close(process.noise(x, TIMES), exact.noise(x, TIMES))
    for field in fields.values():
        field.calls = 0
    b, s = velocity_and_score(process, x, TIMES)
    _close(b, exact.velocity(x, TIMES))
    _close(s, exact.score(x, TIMES))
    assert max(field.calls for field in fields.values()) == 1


def test_a_process_that_cannot_do_both_at_once():
    exact, x, t = _process(TwoSided()), _points(), torch.tensor(0.3)

    class Plain:
        interpolant, velocity, score = exact.interpolant, exact.velocity, exact.score

    b, s = velocity_and_score(Plain(), x, t)
    assert torch.equal(b, exact.velocity(x, t))
    assert torch.equal(s, exact.score(x, t))


@pytest.mark.parametrize(
    "convert",
    [
        conversions.one_sided_velocity,
        conversions.one_sided_velocity_from_score,
        conversions.one_sided_noise,
        conversions.one_sided_target,
    ],
)
def test_one_sided_conversions_refuse_a_base(convert):
    with pytest.raises(ValueError, match="without x0"):
        convert(TwoSided(), torch.ones(2), torch.ones(2), torch.tensor(0.5))
