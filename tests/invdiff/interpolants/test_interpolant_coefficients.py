import math

import pytest
import torch

from invdiff.interpolants import gammas, paths
from invdiff.interpolants.gammas import (
    BrownianGamma,
    FoellmerGamma,
    Gamma,
    NoGamma,
    QuadraticGamma,
    SigmoidGamma,
    SineSquaredGamma,
)
from invdiff.interpolants.interpolant import Mirror, OneSided, TwoSided, foellmer
from invdiff.interpolants.paths import (
    EncodingDecodingPath,
    LinearPath,
    Path,
    PowerPath,
    TrigonometricPath,
)

GAMMAS = [
    BrownianGamma(),
    BrownianGamma(0.3),
    FoellmerGamma(0.7),
    QuadraticGamma(),
    SineSquaredGamma(),
    SigmoidGamma(),
    SigmoidGamma(4.0),
    NoGamma(),
]
NOISY = GAMMAS[:-1]
PATHS = [LinearPath(), PowerPath(), PowerPath(1.5), TrigonometricPath(), EncodingDecodingPath()]
INSIDE = torch.linspace(0.01, 0.99, 37, dtype=torch.float64)
ENDS = torch.tensor([0.0, 1.0], dtype=torch.float64)


def _exported(module, kind):
    found = (getattr(module, name) for name in module.__all__)
    return {c for c in found if isinstance(c, type) and issubclass(c, kind) and c is not kind}


def _derivative(value, t):
    t = t.clone().requires_grad_()
    return torch.autograd.grad(value(t).sum(), t)[0]


def _room(gamma):
    """A gamma that leaves room for the ends on a trigonometric path."""
    return not isinstance(gamma, SineSquaredGamma)


def test_every_exported_kind_is_tested():
    assert _exported(gammas, Gamma) == {type(g) for g in GAMMAS}
    assert _exported(paths, Path) == {type(p) for p in PATHS}


@pytest.mark.parametrize("gamma", GAMMAS, ids=repr)
def test_gamma_vanishes_at_the_ends(gamma):
    torch.testing.assert_close(gamma.value(ENDS), torch.zeros(2).double(), atol=1e-15, rtol=0)


@pytest.mark.parametrize("gamma", NOISY, ids=repr)
def test_gamma_is_positive_inside(gamma):
    assert (gamma.value(INSIDE) > 0).all()


@pytest.mark.parametrize("gamma", NOISY, ids=repr)
def test_gamma_dot_is_the_derivative(gamma):
    expected = _derivative(gamma.value, INSIDE)
    torch.testing.assert_close(gamma.dot(INSIDE), expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS, ids=repr)
def test_square_is_the_square_and_product_half_its_derivative(gamma):
    torch.testing.assert_close(gamma.square(INSIDE), gamma.value(INSIDE) ** 2)
    torch.testing.assert_close(gamma.product(INSIDE), gamma.value(INSIDE) * gamma.dot(INSIDE))
    ends = ENDS + torch.tensor([1e-7, -1e-7], dtype=torch.float64)
    h = 1e-8
    slope = (gamma.square(ends + h) - gamma.square(ends - h)) / (4 * h)
    torch.testing.assert_close(gamma.product(ENDS), slope, atol=1e-5, rtol=1e-5)


def test_product_is_known_where_the_derivative_is_infinite():
    assert BrownianGamma(3.0).dot(ENDS).isinf().all()
    assert BrownianGamma(3.0).product(ENDS).tolist() == [1.5, -1.5]
    assert FoellmerGamma(2.0).product(ENDS).tolist() == [2.0, 0.0]


def test_brownian_gamma_of_a_time_that_rounding_put_outside():
    beyond = torch.tensor(1 + 1e-16 * 8, dtype=torch.float64)
    assert BrownianGamma().value(beyond) == 0


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_path_starts_at_one_end_and_stops_at_the_other(path):
    point = path.at(ENDS, NoGamma())
    start, stop = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double()
    torch.testing.assert_close(point.alpha, start, atol=1e-15, rtol=0)
    torch.testing.assert_close(point.beta, stop, atol=1e-15, rtol=0)


@pytest.mark.parametrize("gamma", GAMMAS, ids=repr)
@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_path_derivatives(path, gamma):
    if isinstance(path, TrigonometricPath) and not _room(gamma):
        pytest.skip("no room")
    point = path.at(INSIDE, gamma)
    for value, dot in (("alpha", point.alpha_dot), ("beta", point.beta_dot)):
        expected = _derivative(lambda t, v=value: getattr(path.at(t, gamma), v), INSIDE)
        torch.testing.assert_close(dot, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("gamma", [g for g in GAMMAS if _room(g)], ids=repr)
def test_trigonometric_path_keeps_unit_variance(gamma):
    t = torch.cat([ENDS, INSIDE])
    point = TrigonometricPath().at(t, gamma)
    variance = point.alpha**2 + point.beta**2 + gamma.square(t)
    torch.testing.assert_close(variance, torch.ones_like(t), atol=1e-14, rtol=0)


@pytest.mark.parametrize("gamma", [BrownianGamma(4.0), SineSquaredGamma()], ids=repr)
def test_trigonometric_path_refuses_a_gamma_without_room(gamma):
    with pytest.raises(ValueError, match="gamma < 1"):
        TrigonometricPath().at(torch.tensor([0.1, 0.5]), gamma)


def test_encoding_decoding_forgets_one_end_before_it_makes_the_other():
    t = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    c = TwoSided(EncodingDecodingPath(), SineSquaredGamma()).at(t)
    assert (c.alpha * c.beta == 0).all()
    assert c.alpha[0] > 0
    assert c.beta[2] > 0
    assert float(c.gamma[1]) == 1
    assert max(float(c.alpha[1]), float(c.beta[1])) < 1e-30


def test_foellmer_is_a_forecast_from_a_point():
    t = torch.tensor(0.36, dtype=torch.float64)
    c = foellmer(scale=0.5, power=2.0).at(t)
    expected = (0.64, 0.36**2, 0.6 * 0.5 * 0.64, -1.0, 0.72)
    torch.testing.assert_close(torch.stack(c[:5]), torch.tensor(expected).double())
    # epsilon = sigma^2 (1 - t)^2 / 2 is gamma gamma' + gamma^2 / (1 - t): s is not needed there
    epsilon = 0.5**2 * 0.64**2 / 2
    assert float(c.gamma_product + c.gamma**2 / 0.64) == pytest.approx(epsilon)


@pytest.mark.parametrize("path", [LinearPath(), TrigonometricPath()], ids=repr)
def test_one_sided_noise_is_the_path_of_the_missing_end(path):
    c, p = OneSided(path).at(INSIDE), path.at(INSIDE, NoGamma())
    assert not c.alpha.any()
    for found, expected in ((c.gamma, p.alpha), (c.gamma_dot, p.alpha_dot), (c.beta, p.beta)):
        assert torch.equal(found, expected)
    torch.testing.assert_close(c.gamma_product, c.gamma * c.gamma_dot)


def test_mirror_keeps_the_target():
    c = Mirror(QuadraticGamma()).at(INSIDE)
    assert (c.beta == 1).all()
    assert not c.beta_dot.any()
    assert not c.alpha.any()


@pytest.mark.parametrize("interpolant", [TwoSided(), OneSided(), Mirror()], ids=repr)
def test_point_and_its_velocity(interpolant, generator):
    x0, x1, z = torch.randn(3, 5, 2, 3, generator=generator, dtype=torch.float64)
    x0 = x0 if interpolant.has_x0 else None
    t = torch.rand(5, generator=generator, dtype=torch.float64)
    h = 1e-6
    slope = interpolant.point(t + h, x0, x1, z) - interpolant.point(t - h, x0, x1, z)
    c = interpolant.at(t).expanded(x1)
    velocity = interpolant.path_velocity(t, x0, x1) + c.gamma_dot * z
    torch.testing.assert_close(slope / (2 * h), velocity, atol=1e-7, rtol=1e-7)
    alone = interpolant.point(t[2], None if x0 is None else x0[2], x1[2], z[2])
    torch.testing.assert_close(alone, interpolant.point(t, x0, x1, z)[2])


def test_coefficients_take_the_dtype_of_a_complex_image():
    x = torch.zeros(4, 2, 3, dtype=torch.complex64)
    c = TwoSided().at(torch.full((4,), 0.3, dtype=torch.float64)).expanded(x)
    assert c.alpha.dtype == torch.float32
    assert c.alpha.shape == (4, 1, 1)


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("kind", [BrownianGamma, FoellmerGamma, SigmoidGamma])
def test_bad_scales(kind, value):
    with pytest.raises(ValueError, match=f"{kind.__name__}: expected"):
        kind(value)


@pytest.mark.parametrize("power", [0.9, math.inf, math.nan])
def test_bad_powers(power):
    with pytest.raises(ValueError, match="power >= 1"):
        PowerPath(power)
