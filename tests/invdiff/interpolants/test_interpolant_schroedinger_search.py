from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from scipy.special import roots_legendre
from torch import nn
from torch.autograd.functional import jvp

from invdiff.interpolants.couplings import Draw, IndependentCoupling
from invdiff.interpolants.gammas import BrownianGamma
from invdiff.interpolants.gaussian_coupling import GaussianCoupling, JointGaussianProcess
from invdiff.interpolants.integrators import time_grid
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.losses import uniform_times
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.networks import FieldMLP
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.paths import LinearPath
from invdiff.interpolants.schroedinger_gaussian import GaussianSchroedingerBridge
from invdiff.interpolants.schroedinger_search import (
    InterpolantSearch,
    corrected_path,
    drift_objective,
)
from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.theory.sliced import max_sliced_wasserstein2

EXACT = {"rtol": 1e-10, "atol": 1e-10}
KW = {"dtype": torch.float64}
MEAN0, MEAN1 = torch.tensor([0.0, 0.0], **KW), torch.tensor([1.0, -0.5], **KW)
COV0 = torch.tensor([[1.0, 0.5], [0.5, 0.8]], **KW)
COV1 = torch.tensor([[0.4, -0.2], [-0.2, 1.5]], **KW)
VARIANCE = 0.5


class LinearCorrection(nn.Module):
    """f = P(t) x0 + Q(t) x1 with polynomials, so that the law of x_t stays Gaussian."""

    def __init__(self, degree: int = 4) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.zeros(degree + 1, 2, 2, **KW))
        self.q = nn.Parameter(torch.zeros(degree + 1, 2, 2, **KW))

    def matrices(self, t):
        powers = torch.stack([(2 * t - 1) ** k for k in range(len(self.p))], -1)
        return [torch.einsum("...k,kij->...ij", powers, part) for part in (self.p, self.q)]

    def forward(self, x0, t, x1):
        p, q = self.matrices(t)
        return torch.einsum("...ij,...j->...i", p, x0) + torch.einsum("...ij,...j->...i", q, x1)


class AffineDrift(nn.Module):
    def __init__(self, degree: int = 6) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(degree + 1, 2, 2, **KW))
        self.offset = nn.Parameter(torch.zeros(degree + 1, 2, **KW))

    def forward(self, x, t):
        powers = torch.stack([(2 * t - 1) ** k for k in range(len(self.slope))], -1)
        moved = torch.einsum("...k,kij,...j->...i", powers, self.slope, x)
        return moved + torch.einsum("...k,ki->...i", powers, self.offset)


class ExactDrift(nn.Module):
    def __init__(self, bridge):
        super().__init__()
        self.bridge = bridge

    def forward(self, x, t):
        return self.bridge.drift(x, t)


def energy(correction, cross=None):
    """Half the mean square of the best drift, exact for Gaussian ends; independent by default."""
    joint = torch.block_diag(COV0, COV1)
    if cross is not None:
        joint[:2, 2:], joint[2:, :2] = cross, cross.T
    nodes, weights = roots_legendre(48)
    t, w, eye = (
        torch.tensor((1 + nodes) / 2, **KW),
        torch.tensor(weights / 2, **KW),
        torch.eye(2, **KW),
    )

    def ends(t):
        s, (p, q) = t[:, None, None], correction.matrices(t)
        return (1 - s) * eye + s * (1 - s) * p, s * eye + s * (1 - s) * q

    (a, b), (a_dot, b_dot) = jvp(ends, t, torch.ones_like(t), create_graph=True)
    noise = VARIANCE * t[:, None, None] * eye
    both, both_dot = torch.cat([a, b], -1), torch.cat([a_dot, b_dot], -1)
    covariance = both @ joint @ both.mT + noise * (1 - t)[:, None, None]
    moved = both_dot @ joint @ both.mT - noise
    square = torch.einsum("tij,tji->t", moved, torch.linalg.solve(covariance, moved.mT))
    return (w * (square + ((a_dot @ MEAN0 + b_dot @ MEAN1) ** 2).sum(-1))).sum() / 2


def bridge():
    return GaussianSchroedingerBridge(MEAN0, COV0, MEAN1, COV1, VARIANCE)


def gaussians():
    def source(mean, covariance):
        root = torch.linalg.cholesky(covariance).T
        return lambda count, generator: (
            mean + torch.randn(count, 2, generator=generator, **KW) @ root
        )

    return IndependentCoupling(source(MEAN1, COV1), source(MEAN0, COV0))


def network(seed, **sizes):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(seed)
        return FieldMLP(2, **sizes)


def test_a_corrected_path_keeps_its_ends_and_its_speed_is_its_derivative(generator):
    f = network(0, width=16, depth=2, condition_dim=2).double()
    x0, x1 = (torch.randn(5, 2, generator=generator, **KW) for _ in range(2))
    torch.testing.assert_close(corrected_path(f, x0, x1, torch.zeros(5, **KW))[0], x0, **EXACT)
    torch.testing.assert_close(corrected_path(f, x0, x1, torch.ones(5, **KW))[0], x1, **EXACT)
    t, h = torch.linspace(0.1, 0.9, 5, **KW), 1e-5
    ahead, behind = (corrected_path(f, x0, x1, t + sign * h)[0] for sign in (1, -1))
    speed = corrected_path(f, x0, x1, t)[1]
    torch.testing.assert_close(speed, (ahead - behind) / (2 * h), rtol=1e-7, atol=1e-7)


def draws(coupling, count):
    generator = derive_generator(0, "objective")
    draw, t = coupling.draw(count, generator), uniform_times(count, generator, 1e-3)
    return draw, t, torch.randn(count, 2, generator=generator, **KW)


def test_the_objective_of_the_drift_of_the_bridge_is_minus_its_energy():
    draw, t, z = draws(bridge().coupling, 20000)
    with torch.no_grad():
        losses = drift_objective(ExactDrift(bridge()), LinearCorrection(0), VARIANCE, draw, t, z)
    error = losses.std() / len(losses) ** 0.5
    assert abs(losses.mean() + bridge().energy()) < 4.5 * error


def energy_gradient(cross):
    correction = LinearCorrection(2)
    value = energy(correction, cross)
    parts = torch.autograd.grad(value, list(correction.parameters()))
    return float(value.detach()), torch.cat([part.flatten() for part in parts]).norm()


def test_the_bridge_is_a_stationary_point_of_the_energy_of_the_path():
    value, slope = energy_gradient(bridge().coupling.cross)
    assert value == pytest.approx(bridge().energy(), rel=1e-9)
    assert slope < 1e-9
    _, elsewhere = energy_gradient(torch.zeros(2, 2, **KW))
    assert elsewhere > 0.01


def test_the_gradient_of_the_objective_in_the_path_is_that_of_the_energy():
    # at the best drift of independent ends the drift's own change does not count
    correction, coupling = LinearCorrection(0), gaussians()
    zero = torch.zeros(2, 2, **KW)
    process = JointGaussianProcess(
        TwoSided(LinearPath(), BrownianGamma(VARIANCE)),
        GaussianCoupling(MEAN0, MEAN1, COV0, COV1, zero),
    )

    class Best(nn.Module):
        def forward(self, x, t):
            b, s = process.both(x, t)
            return b + VARIANCE / 2 * s

    draw, t, z = draws(coupling, 50000)
    losses = drift_objective(Best(), correction, VARIANCE, draw, t, z)
    parameters = list(correction.parameters())
    got = torch.stack(torch.autograd.grad(losses.mean(), parameters))
    exact = torch.stack(torch.autograd.grad(-energy(correction), parameters))
    assert (got - exact).norm() < 0.15 * exact.norm()


def test_the_least_energy_among_linear_interpolations_is_that_of_the_bridge():
    # without sampling: independent ends suffice, the path alone finds the marginals of the bridge
    correction = LinearCorrection()
    start = float(energy(correction).detach())
    optimizer = torch.optim.LBFGS(
        correction.parameters(), max_iter=200, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = energy(correction)
        value.backward()
        return value

    optimizer.step(closure)
    least, closed = float(energy(correction).detach()), bridge().energy()
    assert closed <= least < closed + 0.01 * (start - closed)


def test_the_search_lowers_the_energy_to_that_of_the_bridge_and_finds_its_coupling():
    correction, drift = LinearCorrection(), AffineDrift()
    start, closed = float(energy(correction).detach()), bridge().energy()
    search = InterpolantSearch(
        VARIANCE,
        num_rounds=150,
        num_drift_steps=3,
        num_warmup=30,
        batch_size=256,
        drift_rate=5e-2,
        path_rate=3e-2,
    )
    told = []
    generator = torch.Generator().manual_seed(0)
    search.run(correction, drift, gaussians(), generator=generator, callback=told.append)
    assert [r.round for r in told] == list(range(150))
    end = float(energy(correction).detach())
    assert closed < end < closed + 0.15 * (start - closed)
    cross = coupling_of(drift)
    error = (cross - bridge().coupling.cross).norm()
    assert error < 0.1 * bridge().coupling.cross.norm()


def coupling_of(drift, num_steps=200):
    """Cov(X0, X1) of the SDE, exact for an affine drift."""
    x, times = torch.linalg.cholesky(COV0).T, time_grid(num_steps, 0.0, 1.0)
    x = torch.cat([torch.zeros(1, 2, **KW), x])
    with torch.no_grad():
        for t, end in pairwise(times):
            x = x + (end - t) * drift(x, t.expand(3))
    return torch.linalg.cholesky(COV0) @ (x[1:] - x[:1])


def mixtures():
    weights = torch.tensor([0.5, 0.5])
    small = 0.05 * torch.eye(2).expand(2, 2, 2)
    base = GaussianMixturePrior(weights, torch.tensor([[-1.5, 0.0], [1.5, 0.0]]), small)
    target = GaussianMixturePrior(weights, torch.tensor([[-1.0, 2.0], [1.0, 2.0]]), small)
    return base, target


def run_sde(drift, x, variance, num_steps=100):
    """Return the end of the SDE and half the mean square of its drift on the way."""
    noise, total = SampleNoise(derive_generator(0, "paths"), len(x), x), 0.0
    times = time_grid(num_steps, 1e-3, 1 - 1e-3)
    with torch.no_grad():
        for t, end in pairwise(times):
            h, u = (end - t).to(x), drift(x, t)
            total += float(h * (u**2).sum(-1).mean() / 2)
            x = x + h * u + (variance * h).sqrt() * noise()
    return x, total


def searched(num_rounds, num_warmup):
    """Return the end law's distance and the energy of the drift that a search finds."""
    base, target, variance = *mixtures(), 0.5
    coupling = IndependentCoupling(
        lambda n, g: target.sample(n, generator=g), lambda n, g: base.sample(n, generator=g)
    )
    correction = network(1, width=32, depth=2, condition_dim=2)
    drift = network(2, width=48, depth=2)
    search = InterpolantSearch(
        variance,
        num_rounds=num_rounds,
        num_drift_steps=4,
        num_warmup=num_warmup,
        batch_size=256,
        drift_rate=5e-3,
        path_rate=5e-3,
    )
    search.run(correction, drift, coupling, generator=torch.Generator().manual_seed(0))
    return end_and_energy(drift)


def end_and_energy(drift):
    base, target = mixtures()
    x0 = base.sample(2000, generator=derive_generator(0, "base"))
    exact = target.sample(2000, generator=derive_generator(0, "target"))
    x, energy = run_sde(drift, x0, 0.5)
    directions = derive_generator(0, "directions")
    return max_sliced_wasserstein2(x, exact, generator=directions), energy


def best_on_lines(x, t):
    base, target = mixtures()
    process = MixtureProcess(TwoSided(LinearPath(), BrownianGamma(0.5)), target, base)
    return process.velocity(x, t) + 0.25 * process.score(x, t)


def test_a_search_between_mixtures_reaches_the_end():
    # a short one: its energy is low also because the drift still lags behind
    distance, energy = searched(num_rounds=150, num_warmup=50)
    assert distance < 0.35
    assert energy < end_and_energy(best_on_lines)[1]


@pytest.mark.slow
def test_a_search_between_mixtures_lowers_the_energy_at_the_same_end():
    # against the same training without steps of the path, and the exact drift on lines
    distance, energy = searched(num_rounds=500, num_warmup=50)
    control = searched(num_rounds=500, num_warmup=500)[1]
    exact = end_and_energy(best_on_lines)[1]
    assert distance < 0.15
    assert energy < 0.97 * control
    assert control < exact


def test_bad_input_raises():
    with pytest.raises(ValueError, match="counts"):
        InterpolantSearch(1.0, num_rounds=0)
    with pytest.raises(ValueError, match="variance"):
        InterpolantSearch(0.0)
    x1, t = torch.zeros(2, 2), torch.full((2,), 0.5)
    with pytest.raises(ValueError, match="x0"):
        drift_objective(nn.Identity(), nn.Identity(), 1.0, Draw(None, x1), t, x1)
