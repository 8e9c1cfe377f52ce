import pytest
import torch
from torch import Tensor

from invdiff.interpolants.components import CommutingComponents, DenseComponents
from invdiff.interpolants.gammas import (
    NoGamma,
    QuadraticGamma,
    SigmoidGamma,
    SineSquaredGamma,
)
from invdiff.interpolants.interpolant import Mirror, OneSided, TwoSided, foellmer
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.paths import (
    EncodingDecodingPath,
    LinearPath,
    PowerPath,
    TrigonometricPath,
)
from invdiff.priors.gaussian import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator

INTERPOLANTS = [
    TwoSided(),
    TwoSided(LinearPath(), NoGamma()),
    TwoSided(PowerPath(), SigmoidGamma()),
    TwoSided(TrigonometricPath(), QuadraticGamma()),
    TwoSided(EncodingDecodingPath(), SineSquaredGamma()),
    OneSided(),
    OneSided(TrigonometricPath()),
    Mirror(),
    foellmer(0.5),
]


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=derive_generator(seed, "test"), dtype=torch.float64)


def _mixture(count: int, n: int, seed: int, shape: tuple[int, ...] | None = None):
    factor = _normal(count, n, n, seed=seed)
    covariances = factor @ factor.mT / n + 0.2 * torch.eye(n, dtype=torch.float64)
    weights = torch.arange(1, count + 1, dtype=torch.float64)
    means = 2 * _normal(count, n, seed=seed + 1)
    return GaussianMixturePrior(weights, means.reshape(count, *(shape or (n,))), covariances)


def _process(interpolant, n: int = 3, shape: tuple[int, ...] | None = None) -> MixtureProcess:
    base = _mixture(2, n, 10, shape) if interpolant.has_x0 else None
    return MixtureProcess(interpolant, _mixture(3, n, 20, shape), base)


def _isotropic(count: int, n: int, seed: int) -> GaussianMixturePrior:
    scales = torch.arange(1, count + 1, dtype=torch.float64).reshape(-1, 1, 1)
    means = _normal(count, n, seed=seed)
    eye = torch.eye(n, dtype=torch.float64)
    return GaussianMixturePrior(torch.ones(count).double(), means, scales * eye)


def _densely(process: MixtureProcess) -> MixtureProcess:
    """The same process by factorisations."""
    dense = MixtureProcess(process.interpolant, process.target, process.base)
    dense._components = dense._dense
    return dense


def _in_one_variable(process: MixtureProcess, x: Tensor, t: Tensor):
    """Time derivative, gradient and velocity of rho, and the divergence of b, by autodiff."""
    x, t = x.requires_grad_(), t.requires_grad_()
    log_prob = process.log_prob(x, t)
    gradient, rate = torch.autograd.grad(log_prob.sum(), (x, t))
    b = process.velocity(x, t)
    divergence = sum(
        torch.autograd.grad(b[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(x.shape[1])
    )
    return rate, gradient, b.detach(), divergence


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=repr)
def test_transport_equation(interpolant, n):
    process = _process(interpolant, n)
    t = torch.linspace(0.05, 0.95, 40, dtype=torch.float64)
    x = torch.cat([process.sample(1, s, generator=derive_generator(i)) for i, s in enumerate(t)])
    rate, gradient, b, divergence = _in_one_variable(process, x, t)
    terms = (rate, (b * gradient).sum(1), divergence)
    scale = sum(term.abs() for term in terms).clamp(min=1)
    assert (sum(terms).abs() / scale).max() < 1e-10


@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=repr)
def test_score_is_the_gradient_of_the_log_density(interpolant):
    process = _process(interpolant)
    x = _normal(20, 3).requires_grad_()
    t = torch.linspace(0.02, 0.98, 20, dtype=torch.float64)
    expected = torch.autograd.grad(process.log_prob(x, t).sum(), x)[0]
    torch.testing.assert_close(process.score(x, t), expected, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("interpolant", [TwoSided(), OneSided(), foellmer(0.5)], ids=repr)
def test_fields_are_regressions_on_samples(interpolant):
    """E[(L - field(x_t)) g(x_t)] = 0 for any g, within standard errors."""
    process, t = _process(interpolant), torch.tensor(0.6, dtype=torch.float64)
    count, g = 60_000, derive_generator(3)
    x1 = process.target.sample(count, generator=g)
    x0 = None if process.base is None else process.base.sample(count, generator=g)
    z = torch.randn(x1.shape, generator=g, dtype=torch.float64)
    x = interpolant.point(t, x0, x1, z)
    path = interpolant.path_velocity(t, x0, x1)
    means = {
        "velocity": path + interpolant.at(t).gamma_dot * z,
        "path_velocity": path,
        "noise": z,
        "target_mean": x1,
    }
    tests = torch.cat([torch.ones(count, 1), x, x.sin(), x * (x.sum(1, keepdim=True) > 0)], 1)
    for name, value in means.items():
        residual = value - getattr(process, name)(x, t)
        products = residual.unsqueeze(2) * tests.unsqueeze(1)
        error = products.mean(0) / (products.std(0) / count**0.5)
        assert error.abs().max() < 4.5, name


@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=repr)
def test_marginal_and_samples_have_the_density(interpolant):
    process, t = _process(interpolant), torch.tensor(0.3, dtype=torch.float64)
    x = process.sample(20_000, t, generator=derive_generator(4))
    torch.testing.assert_close(process.log_prob(x, t), process.marginal(t).log_prob(x))
    error = x.mean(0) - process.marginal(t).mean()
    assert (error.abs() < 4.5 * x.std(0) / len(x) ** 0.5).all()


@pytest.mark.parametrize("interpolant", [TwoSided(), TwoSided(TrigonometricPath())], ids=repr)
def test_the_ends_are_the_base_and_the_target(interpolant):
    process, x = _process(interpolant), _normal(5, 3)
    for t, prior in ((0.0, process.base), (1.0, process.target)):
        found = process.log_prob(x, torch.tensor(t, dtype=torch.float64))
        torch.testing.assert_close(found, prior.log_prob(x))
        assert process.velocity(x, torch.tensor(t)).isfinite().all()


def test_one_sided_starts_as_noise_and_mirror_ends_as_it_starts():
    x, start, end = _normal(5, 3), torch.tensor(0.0), torch.tensor(1.0)
    torch.testing.assert_close(_process(OneSided()).score(x, start), -x)
    process = _process(Mirror())
    torch.testing.assert_close(process.log_prob(x, start), process.log_prob(x, end))
    # b = -gamma gamma' s, and gamma gamma' is 1/2 and -1/2
    torch.testing.assert_close(process.velocity(x, start), -process.score(x, start) / 2)
    torch.testing.assert_close(process.velocity(x, end), process.score(x, end) / 2)


@pytest.mark.parametrize(
    ("base", "target", "num_bases"),
    [
        (_isotropic(2, 4, 1), _isotropic(3, 4, 2), 1),
        (GaussianPrior(torch.zeros(4).double(), 0.5), _mixture(3, 4, 5), 3),
        (_mixture(1, 4, 6), GaussianPrior(torch.ones(4).double(), 2.0), 1),
    ],
)
def test_common_eigenvectors_change_nothing(base, target, num_bases):
    process = MixtureProcess(TwoSided(), target, base)
    assert isinstance(process._components, CommutingComponents)
    assert len(process._components.vectors) == num_bases
    dense, x = _densely(process), _normal(6, 4)
    for t in (torch.tensor(0.4).double(), torch.linspace(0.1, 0.9, 6).double()):
        for name in ("velocity", "path_velocity", "score", "noise", "target_mean", "log_prob"):
            found, expected = getattr(process, name)(x, t), getattr(dense, name)(x, t)
            torch.testing.assert_close(found, expected, atol=1e-11, rtol=1e-11)


def test_covariances_that_do_not_commute_are_factorised():
    assert isinstance(_process(TwoSided())._components, DenseComponents)


def test_nearly_commuting_covariances_are_not_taken_for_commuting():
    base = torch.eye(3).double() * torch.tensor([1.0, 2.0, 3.0]).double()
    tilt = torch.zeros(3, 3).double()
    tilt[0, 1] = tilt[1, 0] = 1e-9
    target = GaussianPrior(torch.zeros(3).double(), base + tilt)
    process = MixtureProcess(TwoSided(), target, GaussianPrior(torch.zeros(3).double(), base))
    assert isinstance(process._components, DenseComponents)


@pytest.mark.parametrize("interpolant", INTERPOLANTS, ids=repr)
def test_each_member_of_a_batch_is_alone(interpolant):
    process, x = _process(interpolant), _normal(12, 3)
    distinct = torch.linspace(0.1, 0.9, 12, dtype=torch.float64)
    shared = distinct[:3].repeat(4)
    for times in (distinct, shared, shared[:1].expand(12)):
        for name in ("velocity", "score", "log_prob"):
            together = getattr(process, name)(x, times)
            alone = [getattr(process, name)(x[i], times[i]) for i in range(12)]
            torch.testing.assert_close(together, torch.stack(alone), atol=1e-12, rtol=1e-12)


def test_a_large_batch_goes_in_pieces(monkeypatch):
    process, x = _process(TwoSided()), _normal(7, 3)
    t = torch.linspace(0.1, 0.9, 7, dtype=torch.float64)
    whole = process.velocity(x, t)
    monkeypatch.setattr("invdiff.interpolants.components._PIECE", 6 * 9 * 2)
    torch.testing.assert_close(process.velocity(x, t), whole)


def test_many_samples_go_in_pieces(monkeypatch):
    process, x = _process(TwoSided()), _normal(5, 4, 3)
    batch = torch.rand(5, 4, generator=derive_generator(0)).double()
    whole = [process.velocity(x, t) for t in (batch, batch[0, 0])]
    monkeypatch.setattr("invdiff.interpolants.closed_form._PIECE", 6 * 3 * 7)
    pieces = [process.velocity(x, t) for t in (batch, batch[0, 0])]
    torch.testing.assert_close(pieces, whole)


def test_gradient_in_shared_times_belongs_to_each_member():
    process, x = _process(TwoSided()), _normal(4, 3)
    t = torch.full((4,), 0.3, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(process.log_prob(x, t).sum(), t)[0]
    h = 1e-6
    slope = (process.log_prob(x, t.detach() + h) - process.log_prob(x, t.detach() - h)) / (2 * h)
    torch.testing.assert_close(found, slope, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("interpolant", [TwoSided(), OneSided()], ids=repr)
def test_shapes_of_images_and_of_batches(interpolant):
    image, flat = _process(interpolant, 6, (2, 3)), _process(interpolant, 6)
    x, t = _normal(4, 5, 2, 3), torch.rand(4, 5, generator=derive_generator(0)).double()
    for name in ("velocity", "path_velocity", "score", "noise"):
        found = getattr(image, name)(x, t)
        assert found.shape == x.shape
        torch.testing.assert_close(found.flatten(2), getattr(flat, name)(x.flatten(2), t))
    assert image.log_prob(x, t).shape == (4, 5)
    assert image.sample(7, t[0, 0], generator=derive_generator(0)).shape == (7, 2, 3)
    assert image.velocity(x.float(), t).dtype == torch.float32
    assert image.velocity(x[:0], t[:0]).shape == (0, 5, 2, 3)


def test_both_fields_at_once():
    process, x, t = _process(TwoSided()), _normal(4, 3), torch.tensor(0.2)
    b, s = process.both(x, t)
    assert torch.equal(b, process.velocity(x, t))
    assert torch.equal(s, process.score(x, t))


def test_covariances_of_many_scales():
    scales = torch.tensor([1e-6, 1.0, 1e4], dtype=torch.float64)
    target = GaussianPrior(torch.zeros(3).double(), torch.diag(scales))
    process = MixtureProcess(OneSided(), target)
    t, x = torch.tensor(0.7, dtype=torch.float64), _normal(5, 3)
    expected = -x / (0.49 * scales + 0.09)
    torch.testing.assert_close(process.score(x, t), expected, atol=0, rtol=1e-12)


@pytest.mark.parametrize("commute", [True, False])
def test_a_singular_law_is_refused(commute):
    if commute:
        point = GaussianPrior(torch.zeros(2).double(), torch.zeros(2, 2).double())
        process, t = MixtureProcess(TwoSided(), _mixture(1, 2, 1), point), torch.tensor(0.0)
    else:
        flat = GaussianPrior(torch.zeros(2).double(), torch.ones(2, 2).double())
        other = GaussianPrior(
            torch.zeros(2).double(), torch.diag(torch.tensor([1.0, 3.0])).double()
        )
        process, t = MixtureProcess(TwoSided(), flat, other), torch.tensor(1.0)
    x = torch.ones(2).double()
    assert process.velocity(x, torch.tensor(0.5)).isfinite().all()
    for name in ("velocity", "score", "log_prob", "noise"):
        with pytest.raises(ValueError, match="singular"):
            getattr(process, name)(x, t)


def test_bad_ends():
    one, other = _mixture(1, 2, 0), _mixture(1, 3, 0)
    for interpolant, base in ((TwoSided(), None), (OneSided(), one), (Mirror(), one)):
        with pytest.raises(ValueError, match="base belongs"):
            MixtureProcess(interpolant, one, base)
    with pytest.raises(ValueError, match="shapes"):
        MixtureProcess(TwoSided(), one, other)
    with pytest.raises(ValueError, match="expected x"):
        MixtureProcess(OneSided(), one).velocity(_normal(4, 3), torch.tensor(0.5))
