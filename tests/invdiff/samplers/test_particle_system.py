import dataclasses
import math
import warnings

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.linalg import NumericalWarning
from invdiff.priors import GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator, population
from invdiff.samplers import ParticleSystem
from invdiff.samplers.particle_data import GeneralData, LinearData, draw_probes
from operators import FiniteDifferences, GaussianNoise, Identity, Matrix, PhaseRetrieval
from operators.testing import to_dense

# N(0, 1) has a half range of 4: from T = 2 down, and prior_std makes the start exact
LINE = ParticleSystem(num_steps=100, sigma_max=0.5, sigma_min=0.005, rho=1.0, prior_std=0.25)
RUNS = 6


def on_a_line(system, noise_std=1.0, num_samples=1200):
    """Return mean, variance and evidence ratio, each with its standard error over six runs."""
    y = torch.ones(RUNS, 1, dtype=torch.float64)
    likelihood = Likelihood(Identity((1,)), GaussianNoise(noise_std), y)
    prior = GaussianPrior(torch.zeros(1, dtype=torch.float64), 1.0)
    streams = [derive_generator(0, "line", run) for run in range(RUNS)]
    samples = system.sample(likelihood, prior, num_samples, generator=streams)
    total = 1 + noise_std**2
    exact = -math.log(2 * math.pi * total) / 2 - 1 / (2 * total)
    values = (
        samples.mean()[:, 0],
        samples.std()[:, 0] ** 2,
        (samples.info["log_evidence"] - exact).exp(),
    )
    return [(float(v.mean()), float(v.std()) / RUNS**0.5) for v in values]


def assert_exact(result, noise_std=1.0, bias=0.01):
    """Four standard errors, and the bias of a hundred first-order steps."""
    posterior = noise_std**2 / (1 + noise_std**2)
    expected = (1 / (1 + noise_std**2), posterior, 1.0)
    scales = (posterior**0.5, posterior, 1.0)
    for (value, error), target, scale in zip(result, expected, scales, strict=True):
        assert abs(value - target) < 4 * error + bias * scale


@pytest.mark.parametrize("steps", [100, 300])
def test_the_published_split_stays_too_narrow_whatever_the_steps(steps):
    system = dataclasses.replace(
        LINE, num_steps=steps, likelihood_weight="constant", data_step="euler"
    )
    _, (variance, error), _ = on_a_line(system)
    # the posterior's variance is 0.5, that of guidance without weights 0.26
    assert 0.33 < variance < 0.47
    assert variance + 2 * error < 0.49


@pytest.mark.parametrize("data_step", ["exact", "euler"])
@pytest.mark.parametrize("likelihood_weight", ["constant", "annealed"])
def test_the_langevin_split_converges(likelihood_weight, data_step):
    system = dataclasses.replace(
        LINE, kappa=0.5, likelihood_weight=likelihood_weight, data_step=data_step
    )
    assert_exact(on_a_line(system))


@pytest.mark.parametrize("data_step", ["exact", "euler"])
@pytest.mark.parametrize("kappa", [0.25, 0.75])
def test_any_split_simulates_the_same_equation(kappa, data_step):
    """Wrong weights of the split show here; its variance is still finite."""
    system = dataclasses.replace(LINE, kappa=kappa, data_step=data_step)
    assert_exact(on_a_line(system, num_samples=2000))


@pytest.mark.parametrize("data_step", ["exact", "euler"])
def test_transport_with_a_corrector_converges(data_step):
    system = dataclasses.replace(LINE, variant="ode+corrector", data_step=data_step)
    assert_exact(on_a_line(system))


@pytest.mark.parametrize("noise_std", [0.3, 0.1])
def test_precise_data_need_no_short_steps(noise_std):
    system = dataclasses.replace(
        LINE, kappa=0.5, sigma_max=2.5, sigma_min=0.0025, rho=7.0, num_steps=100
    )
    assert_exact(on_a_line(system, noise_std), noise_std, bias=0.03)


def test_names_the_step_that_is_unstable_and_its_bound():
    system = dataclasses.replace(LINE, data_step="euler", likelihood_weight="constant")
    # at T = 2 a step of 0.02 needs noise above sqrt(4 * 0.02) = 0.28
    with pytest.warns(NumericalWarning, match=r"step 0 .* here 0\.00") as caught:
        on_a_line(system, 0.1, num_samples=4)
    assert "data_step='exact'" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        on_a_line(system, 0.5, num_samples=4)


def test_names_the_step_in_which_the_weights_collapse():
    system = dataclasses.replace(LINE, likelihood_weight="constant", resample_below=0.0)
    with pytest.warns(NumericalWarning, match=r"fewer than 2 of 20 particles .* in step \d+"):
        on_a_line(system, 0.05, num_samples=20)


# Euler steps must be short where the noise is high
PLANE = {
    "exact": ParticleSystem(num_steps=60, sigma_max=3.0, sigma_min=0.003, rho=3.0, prior_std=0.25),
    "euler": ParticleSystem(
        num_steps=150, sigma_max=1.25, sigma_min=0.005, rho=1.0, prior_std=0.25, data_step="euler"
    ),
}


def plane(operator_kind, generator, batch=()):
    prior = GaussianMixturePrior(
        torch.tensor([0.6, 0.4], dtype=torch.float64),
        torch.tensor([[-1.0, 0.5, 0.0], [1.0, 0.0, -0.5]], dtype=torch.float64),
        torch.eye(3, dtype=torch.float64).expand(2, 3, 3) * 0.3,
    )
    if operator_kind == "matrix":
        operator = Matrix(torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.3, 1.0]], dtype=torch.float64))
    else:
        operator = FiniteDifferences((3,))
    x = prior.sample(1, generator=generator)[0].expand(*batch, 3)
    noise = GaussianNoise(0.7)
    return prior, Likelihood(operator, noise, noise.sample(operator(x), generator=generator))


@pytest.mark.parametrize("kind", ["matrix", "differences"])
@pytest.mark.parametrize("likelihood_weight", ["constant", "annealed"])
@pytest.mark.parametrize("data_step", ["exact", "euler"])
def test_samples_the_posterior_of_a_mixture(kind, likelihood_weight, data_step, generator):
    prior, likelihood = plane(kind, generator)
    system = dataclasses.replace(PLANE[data_step], kappa=0.5, likelihood_weight=likelihood_weight)
    samples = system.sample(likelihood, prior, 1500, generator=derive_generator(0))
    exact = prior.posterior(likelihood)
    spread = float(exact.covariance().diagonal().max().sqrt())
    # five standard errors of an effective sample of a quarter, and the bias of the steps
    bound = 5 * spread / 400**0.5 + 0.03 * spread
    assert (samples.mean() - exact.mean()).abs().max() < bound
    variance = exact.covariance().diagonal()
    torch.testing.assert_close(samples.std() ** 2, variance, rtol=0.25, atol=0)


@pytest.mark.parametrize("data_step", ["exact", "euler"])
@pytest.mark.parametrize("likelihood_weight", ["constant", "annealed"])
@pytest.mark.parametrize("kappa", [0.3, 0.5])
def test_every_split_knows_the_evidence_of_several_data(kappa, likelihood_weight, data_step):
    """A constant that all particles share, such as a trace, shows in the evidence alone."""
    dense = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.3, 1.0]], dtype=torch.float64)
    prior = GaussianPrior(torch.zeros(3, dtype=torch.float64), 1.0)
    y = torch.tensor([0.8, -0.5], dtype=torch.float64)
    likelihood = Likelihood(Matrix(dense), GaussianNoise(0.7), y.expand(4, 2).clone())
    covariance = dense @ dense.mT + 0.49 * torch.eye(2, dtype=torch.float64)
    exact = torch.distributions.MultivariateNormal(torch.zeros_like(y), covariance)
    system = dataclasses.replace(
        LINE,
        kappa=kappa,
        data_step=data_step,
        likelihood_weight=likelihood_weight,
        diffusion=0.5,
    )
    streams = [derive_generator(3, run) for run in range(4)]
    samples = system.sample(likelihood, prior, 1000, generator=streams)
    ratio = samples.info["log_evidence"] - exact.log_prob(y)
    # the spread over runs is up to 0.15; without the trace it is off by more than 1
    assert abs(float(ratio.mean())) < 0.2


def test_the_evidence_is_not_a_number_where_a_determinant_is_missing(generator):
    prior, likelihood = plane("differences", generator)
    for choices, known in (
        ({"kappa": 0.5}, True),
        ({"kappa": 1.0}, False),
        ({"kappa": 0.5, "likelihood_weight": "constant"}, False),
    ):
        system = ParticleSystem(num_steps=10, **choices)
        samples = system.sample(likelihood, prior, 9, generator=derive_generator(0))
        assert bool(torch.isfinite(samples.info["log_evidence"])) == known


@pytest.mark.parametrize("kind", ["matrix", "differences"])
@pytest.mark.parametrize("data_step", ["exact", "euler"])
def test_pieces_on_the_device_give_the_same(kind, data_step, generator):
    prior, likelihood = plane(kind, generator, batch=(2,))
    steps = 20 if data_step == "exact" else 150
    system = dataclasses.replace(PLANE[data_step], kappa=0.7, num_steps=steps)
    whole = system.sample(likelihood, prior, 9, generator=derive_generator(0))
    pieces = dataclasses.replace(system, chunk_size=4)
    samples = pieces.sample(likelihood, prior, 9, generator=derive_generator(0))
    torch.testing.assert_close(samples.values, whole.values)
    torch.testing.assert_close(samples.log_weights, whole.log_weights)


INTENSITY = PhaseRetrieval(Identity((2,)))


@dataclasses.dataclass(frozen=True, eq=False)
class Intensities:
    """Two intensities of two numbers, measured with normal noise."""

    y: torch.Tensor
    noise_std: float
    batch_shape: tuple[int, ...] = ()
    image_shape: tuple[int, ...] = (2,)

    def log_prob(self, x):
        return GaussianNoise(self.noise_std).log_prob(self.y, INTENSITY(x)).sum(-1)

    def score(self, x):
        return INTENSITY.vjp(x, (self.y - INTENSITY(x)) / self.noise_std**2)


@pytest.mark.parametrize("data_step", ["exact", "euler"])
@pytest.mark.parametrize("kappa", [0.5, 0.7])
def test_samples_the_posterior_of_intensities(kappa, data_step):
    likelihood = Intensities(torch.tensor([1.0, 0.2], dtype=torch.float64), 2.0)
    prior = GaussianPrior(torch.zeros(2, dtype=torch.float64), 1.0)
    system = dataclasses.replace(
        LINE, sigma_max=0.35, sigma_min=0.0035, kappa=kappa, data_step=data_step, diffusion=0.5
    )
    samples = system.sample(likelihood, prior, 3000, generator=derive_generator(0))
    grid = torch.linspace(-5, 5, 201, dtype=torch.float64)
    points = torch.cartesian_prod(grid, grid)
    density = prior.log_prob(points) + likelihood.log_prob(points)
    weights = density.softmax(0)[:, None]
    mean = (weights * points).sum(0)
    variance = (weights * (points - mean) ** 2).sum(0)
    evidence = density.logsumexp(0) + 2 * math.log(10 / 200)
    # four standard errors of an effective sample of 2000, and the bias of the steps
    assert ((samples.mean() - mean).abs() < 0.1 * variance.sqrt()).all()
    torch.testing.assert_close(samples.std() ** 2, variance, rtol=0.15, atol=0)
    assert abs(float(samples.info["log_evidence"] - evidence)) < 0.05


def test_the_laplacian_is_the_trace_of_the_hessian():
    """Exact with the unit vectors, which take the place of more probes than pixels."""
    likelihood = Intensities(torch.tensor([1.0, 0.2], dtype=torch.float64), 0.7)
    x = torch.tensor([[0.3, -1.1], [2.0, 0.1]], dtype=torch.float64)
    data = GeneralData(likelihood)
    probes = draw_probes(data, (), 9, population(derive_generator(0), ()))
    assert len(probes) == 2
    expected = ((6 * x**2 - 2 * likelihood.y) / 0.49).sum(-1)
    torch.testing.assert_close(data.laplacian(x, probes), expected, rtol=1e-4, atol=0)


def test_probes_estimate_the_trace_of_a_linear_operator(generator):
    _, likelihood = plane("differences", generator)
    data = LinearData(likelihood, 20)
    probes = draw_probes(data, (), 2, population(derive_generator(0), ()))
    assert len(probes) == 2
    many = torch.cat(
        [draw_probes(data, (), 2, population(derive_generator(k), ())) for k in range(400)]
    )
    dense = to_dense(likelihood.operator)
    expected = (dense**2).sum() / 0.49
    # five standard errors: the off-diagonal entries are about as large as the diagonal
    assert abs(float(data.laplacian(likelihood.weighted_adjoint, many) / expected) - 1) < 0.1


def test_nonlinear_data_have_no_tilted_gaussian():
    likelihood = Intensities(torch.ones(2, dtype=torch.float64), 0.7)
    prior = GaussianPrior(torch.zeros(2, dtype=torch.float64), 1.0)
    with pytest.raises(ValueError, match="annealed"):
        ParticleSystem(likelihood_weight="constant").sample(
            likelihood, prior, 2, generator=derive_generator(0)
        )


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"variant": "ode"}, "variant must be one of"),
        ({"diffusion": -1.0}, "diffusion must be at least 0, got -1"),
        ({"resample_below": 1.5}, "resample_below"),
        ({"sigma_min": 20.0}, "sigma_min < sigma_max"),
    ],
)
def test_refuses_numbers_out_of_range(choices, message):
    with pytest.raises(ValueError, match=message):
        ParticleSystem(**choices)
