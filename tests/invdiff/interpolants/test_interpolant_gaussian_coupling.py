import pytest
import torch
from torch import Tensor

from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.gammas import BrownianGamma, NoGamma, QuadraticGamma
from invdiff.interpolants.gaussian_coupling import GaussianCoupling, JointGaussianProcess
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import OneSided, TwoSided, foellmer
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.noise import SampleNoise
from invdiff.interpolants.paths import LinearPath, TrigonometricPath
from invdiff.interpolants.sde import integrate_sde
from invdiff.priors.gaussian import GaussianPrior
from invdiff.rng import derive_generator

INTERPOLANTS = [
    TwoSided(),
    TwoSided(LinearPath(), NoGamma()),
    TwoSided(TrigonometricPath(), QuadraticGamma()),
    foellmer(0.5),
]
N = 3


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=derive_generator(seed, "test"), dtype=torch.float64)


def _prior(seed: int, shape: tuple[int, ...] = (N,)) -> GaussianPrior:
    factor = _normal(N, N, seed=seed)
    covariance = factor @ factor.mT / N + 0.2 * torch.eye(N, dtype=torch.float64)
    return GaussianPrior(_normal(*shape, seed=seed + 1), covariance)


def _coupling(shape: tuple[int, ...] = (N,)) -> GaussianCoupling:
    return GaussianCoupling.corrupted(_prior(1, shape), _normal(N, N, seed=5) / 2, 0.6)


def _close_by_errors(products: Tensor) -> None:
    # what is known exactly has no error but that of rounding
    error = products.mean(0) / (products.std(0) / len(products) ** 0.5 + 1e-14)
    assert error.abs().max() < 4.5


def _field_values(interpolant, x0, x1, z, t):
    path = interpolant.path_velocity(t, x0, x1)
    return {
        "velocity": path + interpolant.at(t).gamma_dot * z,
        "path_velocity": path,
        "noise": z,
        "target_mean": x1,
    }


@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=repr)
def test_fields_are_regressions_on_pairs(interpolant):
    process, t = JointGaussianProcess(interpolant, _coupling()), torch.tensor(0.4).double()
    x0, x1, _ = process.coupling.draw(40_000, derive_generator(1))
    z = _normal(*x1.shape, seed=2)
    x = interpolant.point(t, x0, x1, z)
    tests = torch.cat([torch.ones(len(x), 1), x, x.sin()], 1)
    for name, value in _field_values(interpolant, x0, x1, z, t).items():
        residual = value - getattr(process, name)(x, t)
        _close_by_errors((residual.unsqueeze(2) * tests.unsqueeze(1)).flatten(1))


@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=repr)
def test_conditioned_fields_are_regressions_on_both(interpolant):
    joint, t = JointGaussianProcess(interpolant, _coupling()), torch.tensor(0.4).double()
    x0, x1, _ = joint.coupling.draw(40_000, derive_generator(1))
    z = _normal(*x1.shape, seed=2)
    x, process = interpolant.point(t, x0, x1, z), joint.conditioned(x0)
    tests = torch.cat([torch.ones(len(x), 1), x, x0, x0.sin() * x], 1)
    for name, value in _field_values(interpolant, x0, x1, z, t).items():
        residual = value - getattr(process, name)(x, t)
        _close_by_errors((residual.unsqueeze(2) * tests.unsqueeze(1)).flatten(1))


@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=repr)
def test_transport_equation(interpolant):
    process = JointGaussianProcess(interpolant, _coupling())
    t = torch.linspace(0.05, 0.95, 20, dtype=torch.float64, requires_grad=True)
    x = _normal(20, N).requires_grad_()
    log_prob = process.log_prob(x, t)
    gradient, rate = torch.autograd.grad(log_prob.sum(), (x, t))
    b, s = process.both(x, t)
    torch.testing.assert_close(s, gradient, atol=1e-11, rtol=1e-11)
    divergence = sum(
        torch.autograd.grad(b[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(N)
    )
    residual = rate + (b * gradient).sum(1) + divergence
    assert (residual.abs() / (1 + rate.abs())).max() < 1e-10


@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=repr)
def test_the_ode_carries_one_end_to_the_other(interpolant):
    """The flow of a linear field is a matrix and an offset: no sampling."""
    coupling = _coupling()
    process = JointGaussianProcess(interpolant, coupling)
    start = torch.cat([torch.zeros(1, N), torch.eye(N)]).double()
    end = integrate_ode(process.velocity, start, time_grid(400, 1e-6, 1 - 1e-6))
    offset, matrix = end[0], (end[1:] - end[0]).mT
    mean = matrix @ coupling.mean0 + offset
    covariance = matrix @ coupling.covariance0 @ matrix.mT
    torch.testing.assert_close(mean, coupling.mean1, atol=5e-3, rtol=0)
    torch.testing.assert_close(covariance, coupling.covariance1, atol=5e-3, rtol=0)


def test_a_deterministic_path_of_independent_pairs_ignores_the_correlation():
    """What the velocity of an independent coupling misses: it differs from the coupled one."""
    coupling, t, x = _coupling(), torch.tensor(0.5).double(), _normal(4, N)
    base = GaussianPrior(coupling.mean0, coupling.covariance0)
    independent = MixtureProcess(TwoSided(), _prior(1), base)
    apart = GaussianCoupling(
        coupling.mean0, coupling.mean1, coupling.covariance0, coupling.covariance1,
        torch.zeros_like(coupling.cross),
    )  # fmt: skip
    process = JointGaussianProcess(TwoSided(), apart)
    for name in ("velocity", "path_velocity", "score", "noise", "log_prob"):
        found, expected = getattr(process, name)(x, t), getattr(independent, name)(x, t)
        torch.testing.assert_close(found, expected, atol=1e-11, rtol=1e-11)
    coupled = JointGaussianProcess(TwoSided(), coupling)
    assert (coupled.velocity(x, t) - process.velocity(x, t)).abs().max() > 0.1


@pytest.mark.parametrize("interpolant", [TwoSided(), foellmer(0.8)], ids=repr)
def test_the_conditional_sde_reaches_the_posterior(interpolant):
    joint = JointGaussianProcess(interpolant, _coupling())
    x0 = joint.coupling.mean0 + 0.5
    process = joint.conditioned(x0)
    start, count = 0.01, 4000
    x = process.sample(count, torch.tensor(start).double(), generator=derive_generator(3))
    x = integrate_sde(
        process,
        x,
        time_grid(300, start, 1.0),
        epsilon=ConstantEpsilon(0.1),
        noise=SampleNoise(derive_generator(4), count, x),
    )
    law = joint.coupling.given_base(x0)
    deviation = torch.diagonal(law.covariance1).sqrt()
    # discretisation is allowed as much as sampling
    assert ((x.mean(0) - law.mean1).abs() < 9 * deviation / count**0.5).all()
    scale = deviation.outer(deviation)
    error = (torch.cov(x.mT) - law.covariance1).abs() / scale
    assert error.max() < 9 * (2 / count) ** 0.5


def test_conditional_law_is_the_posterior_of_a_linear_gaussian_problem():
    prior, matrix, sigma = _prior(1), _normal(N, N, seed=5) / 2, 0.6
    coupling, x0 = GaussianCoupling.corrupted(prior, matrix, sigma), _normal(4, N, seed=8)
    law = coupling.given_base(x0)
    precision = torch.linalg.inv(prior.covariances[0]) + matrix.mT @ matrix / sigma**2
    torch.testing.assert_close(law.covariance1, torch.linalg.inv(precision))
    residual = x0 - prior.mean() @ matrix.mT
    expected = prior.mean() + residual @ (matrix / sigma**2) @ law.covariance1
    torch.testing.assert_close(law.mean1, expected)


def test_a_batch_of_conditions_is_one_by_one():
    joint = JointGaussianProcess(TwoSided(), _coupling((1, N)))
    x0, x = _normal(5, 1, N, seed=1), _normal(5, 1, N, seed=2)
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    together = joint.conditioned(x0).velocity(x, t)
    alone = [joint.conditioned(x0[i]).velocity(x[i], t[i]) for i in range(5)]
    torch.testing.assert_close(together, torch.stack(alone))
    # several samples of each
    more = joint.conditioned(x0).velocity(x.expand(7, 5, 1, N), t[0])
    torch.testing.assert_close(more[3], joint.conditioned(x0).velocity(x, t[0]))
    drawn = joint.conditioned(x0).sample(6, t[0], generator=derive_generator(0))
    assert drawn.shape == (6, 5, 1, N)


def test_marginal_is_the_law_of_the_samples():
    process, t = JointGaussianProcess(TwoSided(), _coupling()), torch.tensor(0.3).double()
    mean, covariance = process.marginal(t)
    x = process.sample(20_000, t, generator=derive_generator(7))
    expected = GaussianPrior(mean, covariance).log_prob(x)
    torch.testing.assert_close(process.log_prob(x, t), expected)
    _close_by_errors(x - mean)
    offset = x - mean
    _close_by_errors((offset.unsqueeze(2) * offset.unsqueeze(1) - covariance).flatten(1))


def test_pairs_have_the_joint_law():
    coupling = _coupling()
    x0, x1, condition = coupling.draw(20_000, derive_generator(0))
    assert condition is None
    d0, d1 = x0 - coupling.mean0, x1 - coupling.mean1
    products = ((d0, d0, coupling.covariance0), (d1, d1, coupling.covariance1),
                (d0, d1, coupling.cross))  # fmt: skip
    for left, right, expected in products:
        _close_by_errors((left.unsqueeze(2) * right.unsqueeze(1) - expected).flatten(1))


def test_the_point_at_the_start_is_refused():
    process = JointGaussianProcess(TwoSided(gamma=BrownianGamma()), _coupling())
    process = process.conditioned(torch.zeros(N).double())
    with pytest.raises(ValueError, match="singular"):
        process.score(torch.zeros(N).double(), torch.tensor(0.0))


def test_bad_input():
    good = _coupling()
    with pytest.raises(ValueError, match="with x0"):
        JointGaussianProcess(OneSided(), good)
    with pytest.raises(ValueError, match="two means of one shape"):
        GaussianCoupling(good.mean0, good.mean1[:2], *(good.covariance0,) * 3)
    with pytest.raises(ValueError, match="negative eigenvalue"):
        GaussianCoupling(
            good.mean0, good.mean1, good.covariance0, good.covariance1, 9 * good.covariance1
        )
    with pytest.raises(ValueError, match="sigma > 0"):
        GaussianCoupling.corrupted(_prior(1), good.cross, 0.0)
    with pytest.raises(ValueError, match="expected a matrix"):
        GaussianCoupling.corrupted(_prior(1), good.cross[:2], 1.0)
    flat = GaussianCoupling(
        good.mean0, good.mean1, torch.ones(N, N).double(), good.covariance1, 0 * good.cross
    )
    with pytest.raises(ValueError, match="condition"):
        flat.given_base(good.mean0)
