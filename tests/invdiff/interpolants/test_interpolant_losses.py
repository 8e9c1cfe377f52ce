import pytest
import torch
from torch import Tensor

from invdiff.interpolants.couplings import Draw, IndependentCoupling
from invdiff.interpolants.gammas import NoGamma, QuadraticGamma
from invdiff.interpolants.interpolant import Mirror, OneSided, TwoSided
from invdiff.interpolants.losses import interpolant_loss, uniform_times
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.priors.gaussian import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator

COUNT = 40_000
INTERPOLANTS = [TwoSided(), TwoSided(gamma=QuadraticGamma()), OneSided(), Mirror()]


def _process(interpolant) -> MixtureProcess:
    eye = torch.eye(2, dtype=torch.float64)
    means = torch.tensor([[1.0, 0.0], [-1.0, 2.0]]).double()
    target = GaussianMixturePrior(torch.ones(2).double(), means, torch.stack([eye / 2, 2 * eye]))
    base = GaussianPrior(torch.tensor([-1.0, 1.0]).double(), 0.5)
    return MixtureProcess(interpolant, target, base if interpolant.has_x0 else None)


def _draw(process: MixtureProcess, count: int = COUNT) -> tuple[Draw, Tensor, Tensor]:
    def source(prior):
        return lambda size, generator: prior.sample(size, generator=generator)

    g = derive_generator(0, "pairs")
    base = None if process.base is None else source(process.base)
    draw = IndependentCoupling(source(process.target), base).draw(count, g)
    z = torch.randn(draw.x1.shape, generator=g, dtype=torch.float64)
    return draw, uniform_times(count, g), z


def _field(process: MixtureProcess, objective: str):
    names = {"b": "velocity", "v": "path_velocity", "s": "score", "eta": "noise"}
    return getattr(process, names[objective])


def _objectives(interpolant):
    return ["b", "s", "eta"] if isinstance(interpolant, Mirror) else ["b", "v", "s", "eta"]


CASES = [(i, o) for i in INTERPOLANTS for o in _objectives(i)]


@pytest.mark.parametrize(("interpolant", "objective"), CASES, ids=repr)
def test_exact_field_has_the_least_loss_and_no_gradient(interpolant, objective):
    process = _process(interpolant)
    draw, t, z = _draw(process)
    exact = _field(process, objective)
    losses = interpolant_loss(exact, objective, interpolant, draw, t, z)
    # minus half of the mean square of the field, at the same points
    squares = [exact(interpolant.point(t, draw.x0, draw.x1, w), t) ** 2 / 2 for w in (z, -z)]
    surplus = losses + sum(squares).sum(1) / 2
    assert surplus.mean().abs() < 4.5 * surplus.std() / COUNT**0.5

    shifts = [lambda x, t: torch.ones_like(x), lambda x, t: x.sin(), lambda x, t: x.flip(1)]
    for shift in shifts:
        theta = torch.zeros(COUNT, 1, dtype=torch.float64, requires_grad=True)

        def field(x, t, shift=shift, theta=theta):
            return exact(x, t) + theta * shift(x, t)

        loss = interpolant_loss(field, objective, interpolant, draw, t, z).sum()
        gradient = torch.autograd.grad(loss, theta)[0]
        assert gradient.mean().abs() < 4.5 * gradient.std() / COUNT**0.5


@pytest.mark.parametrize("objective", ["b", "v", "s", "eta"])
def test_least_loss_of_linear_fields_is_at_the_closed_form(objective):
    m0, m1 = torch.tensor([0.5]).double(), torch.tensor([-1.0]).double()
    target, base = GaussianPrior(m1, 0.7), GaussianPrior(m0, 1.6)
    process = MixtureProcess(TwoSided(), target, base)
    draw, _, z = _draw(process, 200_000)
    t = torch.full((len(z),), 0.7, dtype=torch.float64)

    def loss(theta):
        def field(x, t):
            return theta[0] * x + theta[1]

        return interpolant_loss(field, objective, process.interpolant, draw, t, z).mean()

    zero = torch.zeros(2, dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(loss, zero)
    curvature = torch.autograd.functional.hessian(loss, zero)
    slope, offset = torch.linalg.solve(curvature, -gradient)
    exact = _field(process, objective)(torch.tensor([[0.0], [1.0]]).double(), t[:2]).flatten()
    found = torch.stack([offset, slope])
    expected = torch.stack([exact[0], exact[1] - exact[0]])
    torch.testing.assert_close(found, expected, atol=0.015, rtol=0)


def test_the_loss_of_the_score_is_that_of_the_noise_over_the_square_of_gamma():
    process = _process(TwoSided())
    draw, t, z = _draw(process, 100)
    gamma = process.interpolant.at(t).gamma

    def eta(x, t):
        return x.sin() + t.unsqueeze(1)

    def s(x, t):
        return -eta(x, t) / process.interpolant.at(t).gamma.unsqueeze(1)

    of_noise = interpolant_loss(eta, "eta", process.interpolant, draw, t, z)
    of_score = interpolant_loss(s, "s", process.interpolant, draw, t, z)
    torch.testing.assert_close(of_score, of_noise / gamma**2)


def _gradient_spread(objective: str, time: float, *, antithetic: bool) -> float:
    """Standard deviation of the gradient of a smooth field in one parameter."""
    process = _process(TwoSided())
    draw, _, z = _draw(process, 5000)
    t = torch.full((len(z),), time, dtype=torch.float64)
    theta = torch.zeros(len(z), 1, dtype=torch.float64, requires_grad=True)
    loss = interpolant_loss(
        lambda x, t: theta * x.sin(), objective, process.interpolant, draw, t, z,
        antithetic=antithetic,
    )  # fmt: skip
    return float(torch.autograd.grad(loss.sum(), theta)[0].std())


@pytest.mark.parametrize("objective", ["b", "s"])
@pytest.mark.parametrize("side", [0.0, 1.0])
def test_antithetic_pairs_keep_the_gradient_finite_at_the_ends(objective, side):
    def spreads(antithetic):
        times = (abs(side - distance) for distance in (1e-2, 1e-4, 1e-6))
        return [_gradient_spread(objective, t, antithetic=antithetic) for t in times]

    alone, pairs = spreads(False), spreads(True)
    assert alone[1] > 5 * alone[0]
    assert alone[2] == pytest.approx(10 * alone[1], rel=0.1)
    assert pairs[2] == pytest.approx(pairs[1], rel=0.01)
    assert pairs[2] < 3 * pairs[0]


@pytest.mark.parametrize("objective", ["v", "eta"])
def test_other_losses_are_finite_at_the_ends_without_pairs(objective):
    spreads = [_gradient_spread(objective, t, antithetic=False) for t in (1e-6, 0.5, 1 - 1e-6)]
    assert max(spreads) < 3 * min(spreads)


@pytest.mark.parametrize("antithetic", [True, False])
def test_calls_of_the_field(antithetic):
    process, calls = _process(TwoSided()), []
    draw, t, z = _draw(process, 4)

    def field(x, t):
        calls.append(x)
        return x

    for interpolant, expected in ((TwoSided(), 1 + antithetic), (TwoSided(gamma=NoGamma()), 1)):
        calls.clear()
        interpolant_loss(field, "b", interpolant, draw, t, z, antithetic=antithetic)
        assert len(calls) == expected


def test_members_of_a_batch_are_alone():
    process = _process(TwoSided())
    draw, t, z = _draw(process, 5)
    together = interpolant_loss(process.velocity, "b", process.interpolant, draw, t, z)
    for i in range(5):
        part = slice(i, i + 1)
        pair = Draw(draw.x0[part], draw.x1[part])
        alone = interpolant_loss(process.velocity, "b", process.interpolant, pair, t[part], z[part])
        torch.testing.assert_close(alone, together[part])


@pytest.mark.parametrize(
    ("interpolant", "objective", "time", "message"),
    [
        (TwoSided(gamma=NoGamma()), "s", 0.5, "gamma > 0"),
        (TwoSided(gamma=NoGamma()), "eta", 0.5, "gamma > 0"),
        (TwoSided(), "s", 0.0, "gamma > 0"),
        (OneSided(), "s", 1.0, "gamma > 0"),
        (TwoSided(), "b", 1.0, "infinite"),
        (Mirror(), "v", 0.5, "stands still"),
        (TwoSided(), "score", 0.5, "expected an objective"),
    ],
)
def test_objectives_without_a_target(interpolant, objective, time, message):
    x = torch.zeros(3, 2, dtype=torch.float64)
    t = torch.tensor([0.3, time, 0.6], dtype=torch.float64)
    if objective == "v":
        t = t.fill_(time)
    with pytest.raises(ValueError, match=message):
        interpolant_loss(lambda x, t: x, objective, interpolant, Draw(x, x), t, x)


def test_times_are_one_of_each_part():
    t = uniform_times(50, derive_generator(0), margin=0.1)
    assert ((t - 0.1) / 0.8 * 50).floor().sort().values.tolist() == list(range(50))
    assert t.dtype == torch.float64
    assert t.tolist() != t.sort().values.tolist()


def test_each_time_is_uniform():
    draws = torch.stack([uniform_times(4, derive_generator(i), margin=0.0) for i in range(2000)])
    # of a uniform law: mean 1/2 and variance 1/12, and none depends on its place
    assert (draws.mean(0) - 0.5).abs().max() < 4.5 / (12 * 2000) ** 0.5
    assert (draws.var(0) - 1 / 12).abs().max() < 4.5 * (1 / 180 / 2000) ** 0.5
    # stratified: the mean of four is four times less scattered in variance, squared
    assert float(draws.mean(1).var()) == pytest.approx(1 / 12 / 4**3, rel=0.15)


@pytest.mark.parametrize(("count", "margin"), [(0, 0.1), (3, 0.5), (3, -0.1)])
def test_bad_times(count, margin):
    with pytest.raises(ValueError, match="uniform_times: expected"):
        uniform_times(count, derive_generator(0), margin)
