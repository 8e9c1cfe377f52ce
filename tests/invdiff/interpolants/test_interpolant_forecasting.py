import functools
import itertools
import math

import numpy as np
import pytest
import torch

from invdiff.interpolants.couplings import Draw
from invdiff.interpolants.diffusion import ScoreFreeEpsilon
from invdiff.interpolants.forecast_fit import forecast_loss, series_coupling
from invdiff.interpolants.forecasting import forecast, rollout
from invdiff.interpolants.integrators import time_grid
from invdiff.interpolants.interpolant import TwoSided, foellmer
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.point_source import PointSource
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator

# standard errors
SIGNIFICANT = 4.5
EXACT = 1e-10
PROCESSES = {"linear": foellmer(0.8, 1.0), "square": foellmer(0.8, 2.0)}

# a series of two by two pixels, x' = F x + N(0, Q)
TRANSITION = torch.tensor(
    [[0.7, 0.2, 0.0, 0.0], [-0.2, 0.7, 0.1, 0.0], [0.0, 0.0, 0.5, 0.3], [0.1, 0.0, 0.0, 0.6]]
).double()
ROOT = torch.tensor(
    [[0.5, 0.0, 0.0, 0.0], [0.2, 0.4, 0.0, 0.0], [0.0, 0.1, 0.6, 0.0], [0.0, 0.0, 0.2, 0.3]]
).double()
NOISE = ROOT @ ROOT.T
PRESENT = torch.tensor([[1.0, -0.5, 0.3, 2.0], [0.0, 1.0, -1.0, 0.5]]).double()


@pytest.fixture(params=PROCESSES)
def interpolant(request):
    return PROCESSES[request.param]


def gaussian_drift(interpolant, x, t, x0, transition=TRANSITION, noise=NOISE):
    """E[alpha' x0 + beta' x1 + sigma' W | x_t] where x1 is N(F x0, Q) given x0."""
    shape, x, x0 = x.shape, x.flatten(1), x0.flatten(1)
    scale, c = interpolant.gamma.scale, interpolant.at(t)
    sigma, mean, eye = scale * (1 - t), x0 @ transition.T, torch.eye(len(noise)).double()
    covariance = c.beta**2 * noise + sigma**2 * t * eye
    cross = c.beta * c.beta_dot * noise - scale * sigma * t * eye
    offset = x - c.alpha * x0 - c.beta * mean
    # at t = 0 there is no offset
    solved = torch.zeros_like(x) if t == 0 else torch.linalg.solve(covariance, offset.T).T
    return (c.alpha_dot * x0 + c.beta_dot * mean + solved @ cross.T).reshape(shape)


def ar1(interpolant):
    return PointSource(interpolant, functools.partial(gaussian_drift, interpolant))


def conditional(interpolant, x0):
    """The same process as an exact mixture, with a point for a base."""
    point = GaussianPrior(x0, torch.zeros(4, 4).double())
    return MixtureProcess(interpolant, GaussianPrior(TRANSITION @ x0, NOISE), point)


@pytest.mark.parametrize("t", [0.01, 0.4, 0.95])
def test_velocity_and_score_follow_from_the_drift(interpolant, t, generator):
    t = torch.tensor(t).double()
    exact, process = conditional(interpolant, PRESENT[0]), ar1(interpolant)
    x, x0 = exact.sample(5, t, generator=generator), PRESENT[:1].expand(5, 4)
    own = (exact.interpolant.gamma.scale * (1 - t)) ** 2 / 2
    drift = exact.velocity(x, t) + own * exact.score(x, t)
    torch.testing.assert_close(process.drift(x, t, x0), drift, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(process.score(x, t, x0), exact.score(x, t), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        process.velocity(x, t, x0), exact.velocity(x, t), rtol=1e-9, atol=1e-9
    )
    other = process.forward_drift(x, t, x0, lambda t: 0.3 + t)
    expected = exact.velocity(x, t) + (0.3 + t) * exact.score(x, t)
    torch.testing.assert_close(other, expected, rtol=1e-9, atol=1e-9)


def test_a_time_for_each_sample(interpolant):
    process = PointSource(interpolant, lambda x, t, x0: x.sin() - x0)
    x, x0, t = PRESENT.sin(), PRESENT, torch.tensor([0.2, 0.7]).double()
    together = process.forward_drift(x, t, x0, ScoreFreeEpsilon(interpolant))
    for i in range(2):
        alone = process.forward_drift(x[i], t[i], x0[i], ScoreFreeEpsilon(interpolant))
        torch.testing.assert_close(together[i], alone)


@pytest.mark.parametrize("noise", ["own", "foellmer", "more"])
def test_ensembles_have_the_exact_mean_and_covariance(interpolant, noise):
    epsilon = {
        "own": None,
        "foellmer": ScoreFreeEpsilon(interpolant),
        "more": lambda t: 0.5 * (1 - t),
    }[noise]
    process, members, present = ar1(interpolant), 3000, PRESENT.reshape(2, 2, 2)
    # more steps where the score of a point is steep
    times = time_grid(60, 0.0, 1.0) ** 1.5
    x = forecast(
        process, present, times, num_members=members, generator=derive_generator(1), epsilon=epsilon
    )
    assert x.shape == (members, 2, 2, 2)
    x = x.flatten(2)
    mean = PRESENT @ TRANSITION.T
    # the bias of Euler's steps, at most 0.02 here
    error = (x.mean(0) - mean).abs() - 0.02
    assert (error < SIGNIFICANT * (NOISE.diagonal() / members).sqrt()).all()
    for i in range(2):
        variances = NOISE.diagonal()
        deviation = ((variances * variances[:, None] + NOISE**2) / members).sqrt()
        assert ((torch.cov(x[:, i].T) - NOISE).abs() - 0.02 < SIGNIFICANT * deviation).all()


def test_the_steps_are_of_first_order(interpolant):
    """Euler's scheme of an affine drift has moments that follow a recursion."""
    transition, noise = (
        torch.full((1, 1), 0.7, dtype=torch.float64),
        torch.full((1, 1), 0.5, dtype=torch.float64),
    )
    drift = functools.partial(gaussian_drift, interpolant, transition=transition, noise=noise)
    process, errors = PointSource(interpolant, drift), []
    x0 = torch.ones(2, 1).double()
    for num_steps in (40, 80, 160):
        x, variance = torch.tensor([[1.0], [2.0]]).double(), torch.zeros(()).double()
        for t, end in itertools.pairwise(time_grid(num_steps, 0.0, 1.0)):
            h = end - t
            moved = x + h * process.drift(x, t, x0) if t > 0 else x + h * drift(x0, t, x0)
            growth = (moved[1] - moved[0]) / (x[1] - x[0])
            variance = growth.squeeze() ** 2 * variance + 2 * process.own_epsilon(t) * h
            x = moved
        errors.append([abs(float(variance) - 0.5), abs(float(x[0]) - 0.7)])
    variances, means = torch.tensor(errors).T
    assert ((variances[:-1] / variances[1:]).log2() - 1).abs().max() < 0.2
    if interpolant.path.power == 1:
        # straight means are exact
        assert means.max() < 1e-12
    else:
        assert ((means[:-1] / means[1:]).log2() - 1).abs().max() < 0.2


def path_divergence(interpolant, epsilon, means, variances):
    """KL of the paths of the processes to two Gaussians in one dimension, from the same point."""
    drifts = [
        PointSource(
            interpolant,
            functools.partial(
                gaussian_drift,
                interpolant,
                transition=torch.full((1, 1), m, dtype=torch.float64),
                noise=torch.full((1, 1), v, dtype=torch.float64),
            ),
        )
        for m, v in zip(means, variances, strict=True)
    ]
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(60))
    # two points at one standard deviation integrate the squares of affine functions exactly
    x0, total = torch.ones(2, 1).double(), 0.0
    for t, weight in zip((1 + nodes) / 2, weights / 2, strict=True):
        c = interpolant.at(t)
        spread = (c.beta**2 * variances[0] + c.gamma**2).sqrt()
        x = c.alpha * x0 + c.beta * means[0] + spread * torch.tensor([[-1.0], [1.0]]).double()
        first, second = (p.forward_drift(x, t, x0, epsilon) for p in drifts)
        total += float(weight * ((first - second) ** 2).mean() / (4 * epsilon(t)))
    return total


def test_foellmer_processes_differ_no_more_than_their_targets(interpolant):
    means, variances = (0.4, -0.3), (0.5, 0.9)
    ratio = variances[0] / variances[1]
    exact = (ratio - 1 - math.log(ratio) + (means[0] - means[1]) ** 2 / variances[1]) / 2
    best = ScoreFreeEpsilon(interpolant)
    least = path_divergence(interpolant, best, means, variances)
    # of the quadrature
    assert abs(least - exact) < 1e-10 * exact
    others = [lambda t: 0.6 * best(t), lambda t: 2 * best(t), lambda t: 0.2 + 0 * t]
    others.append(PointSource(interpolant, lambda x, t, x0: x).own_epsilon)
    for other in others:
        assert path_divergence(interpolant, other, means, variances) > 1.02 * exact


def test_foellmer_noise_in_closed_form():
    t = torch.linspace(0.01, 0.99, 9, dtype=torch.float64)
    for power, squared in ((1.0, 1 - t**2), (2.0, (3 - t) * (1 - t))):
        actual = 2 * ScoreFreeEpsilon(foellmer(0.7, power))(t)
        torch.testing.assert_close(actual, 0.49 * squared, rtol=EXACT, atol=EXACT)


def test_an_error_of_the_drift_costs_least_with_foellmer_noise(interpolant):
    x0, x = PRESENT, PRESENT + 0.1
    exact = ar1(interpolant)
    wrong = PointSource(interpolant, lambda x, t, x0: exact.drift(x, t, x0) + 0.1)
    best = ScoreFreeEpsilon(interpolant)

    def cost(epsilon, t):
        parts = [p.forward_drift(x, t, x0, epsilon) for p in (exact, wrong)]
        return float(((parts[0] - parts[1]) ** 2).sum() / (4 * epsilon(t)))

    for t in (0.1, 0.5, 0.9):
        t = torch.tensor(t).double()
        for factor in (0.5, 0.9, 1.1, 2.0):
            assert cost(best, t) < cost(lambda t, factor=factor: factor * best(t), t)


def test_members_and_presents_do_not_depend_on_how_many_there_are(interpolant):
    process, times = ar1(interpolant), time_grid(6, 0.0, 1.0)
    few = forecast(process, PRESENT[:1], times, num_members=2, generator=derive_generator(4))
    many = forecast(process, PRESENT, times, num_members=5, generator=derive_generator(4))
    torch.testing.assert_close(few, many[:2, :1])
    assert not torch.allclose(many[0], many[1])
    assert not torch.allclose(many[:, 0] - many[:1, 0], many[:, 1] - many[:1, 1])
    other = forecast(process, PRESENT, times, num_members=5, generator=derive_generator(5))
    assert not torch.allclose(many, other)


def test_a_rollout_goes_on_from_each_member(interpolant):
    process, times, members = ar1(interpolant), time_grid(40, 0.0, 1.0) ** 1.5, 3000
    run = functools.partial(rollout, process, PRESENT, times, num_members=members)
    three = run(num_steps=3, generator=derive_generator(6))
    assert three.shape == (3, members, 2, 4)
    assert torch.equal(three[:2], run(num_steps=2, generator=derive_generator(6)))
    mean, covariance = PRESENT, torch.zeros(4, 4).double()
    for k in range(3):
        mean, covariance = mean @ TRANSITION.T, TRANSITION @ covariance @ TRANSITION.T + NOISE
        deviation = (covariance.diagonal() / members).sqrt()
        # the bias of Euler's steps adds up
        assert ((three[k].mean(0) - mean).abs() < SIGNIFICANT * deviation + 0.03).all()
        ratio = three[k].var(0) / covariance.diagonal()
        assert ((ratio - 1).abs() < SIGNIFICANT * math.sqrt(2 / members) + 0.05).all()


def test_refuses_bad_input(interpolant):
    process, times = ar1(interpolant), time_grid(4, 0.0, 1.0)
    for bad in (times[1:], times[:-1], times.flip(0), times[:1], times[[0, 2, 1, 4]]):
        with pytest.raises(ValueError, match="times"):
            forecast(process, PRESENT, bad, num_members=1, generator=derive_generator(0))
    for steps, members in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least one"):
            rollout(process, PRESENT, times, num_steps=steps, num_members=members,
                    generator=derive_generator(0))  # fmt: skip
    with pytest.raises(ValueError, match="FoellmerGamma"):
        PointSource(TwoSided(), process.drift)
    for lag in (0, 7):
        with pytest.raises(ValueError, match="a lag of 1 to 6"):
            series_coupling(torch.zeros(7, 2), lag)


def test_pairs_of_a_series_are_a_lag_apart(generator):
    series = torch.arange(20.0).reshape(10, 2)
    draw = series_coupling(series, 3).draw(50, generator)
    torch.testing.assert_close(draw.x1 - draw.x0, torch.full((50, 2), 6.0))
    assert torch.equal(draw.condition, draw.x0)
    assert draw.x0.min() == 0
    assert draw.x1.max() == 19


def test_the_loss_is_least_at_the_exact_drift(interpolant, generator):
    """Its derivative along any change of the drift is 0, also at t near 0."""
    count = 200_000
    z = torch.randn(count, 4, generator=generator).double()
    x1 = PRESENT[0] @ TRANSITION.T + torch.randn(count, 4, generator=generator).double() @ ROOT.T
    x0 = PRESENT[:1].expand(count, 4)
    for t in (0.0, 0.3, 0.9):
        t = torch.tensor(t).double()
        for change in (lambda x: torch.ones_like(x), lambda x: x.sin()):

            def loss(sign, t=t, change=change):
                def field(x, s):
                    return gaussian_drift(interpolant, x, t, x0) + sign * change(x)

                return forecast_loss(field, interpolant, Draw(x0, x1), t.expand(count), z)

            slope = (loss(1.0) - loss(-1.0)) / 2
            assert slope.mean().abs() <= SIGNIFICANT * slope.std() / math.sqrt(count)
            assert loss(1.0).mean() > loss(0.0).mean()
