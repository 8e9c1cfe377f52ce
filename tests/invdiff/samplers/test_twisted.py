import dataclasses

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import ComplexPrior, GaussianMixturePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import DPS, TDS, MomentMatching, PiGDM, Twisted
from operators import Composition, GaussianNoise, Mask, Matrix

RUNS, COUNT = 32, 64
GUIDES = {
    "dps": DPS(100, guidance_kind="annealed"),
    "pigdm": PiGDM(100),
    "moment-matching": MomentMatching(100),
}
# of the chain of 100 steps, in standard deviations of the posterior
STEP_ERROR = 0.01
# the prior under noise of 40 half ranges is taken for Gaussian about the middle of its range
START_ERROR = 1e-3


@pytest.fixture(params=["svd", "no svd"])
def problem(request):
    """A correlated pair of which one mixture is measured, as many times as there are runs."""
    prior = GaussianPrior(
        torch.tensor([0.2, -0.1]).double(), torch.tensor([[0.09, 0.05], [0.05, 0.06]]).double()
    )
    operator = Matrix(torch.tensor([[1.0, 0.3]]).double())
    if request.param == "no svd":
        operator = Composition(operator, Mask(torch.ones(2, dtype=torch.bool)))
    y = torch.tensor([0.7]).double()
    return prior, Likelihood(operator, GaussianNoise(0.1), y.expand(RUNS, 1))


def one(likelihood):
    return Likelihood(likelihood.operator, likelihood.noise, likelihood.y[0])


@pytest.mark.parametrize("name", GUIDES)
def test_weights_correct_the_guide(name, problem):
    prior, likelihood = problem
    samples = Twisted(GUIDES[name]).sample(likelihood, prior, COUNT, generator=derive_generator(0))
    exact = prior.posterior(one(likelihood))
    values, vectors = torch.linalg.eigh(exact.covariance())
    z = (samples.values - exact.mean()) @ vectors / values.sqrt()
    weights = samples.log_weights.exp().unsqueeze(-1)
    first, second = (weights * z).sum(0), (weights * z**2).sum(0)
    for moment, expected in ((first, 0.0), (second, 1.0)):
        error = moment.std(0) / RUNS**0.5
        assert ((moment.mean(0) - expected).abs() < 4.5 * error + STEP_ERROR).all()


@pytest.mark.parametrize("name", ["dps", "pigdm"])
def test_the_guides_alone_are_biased(name, problem):
    prior, likelihood = problem
    x = GUIDES[name].sample(one(likelihood), prior, 500, generator=derive_generator(0)).values
    exact = prior.posterior(one(likelihood))
    values, vectors = torch.linalg.eigh(exact.covariance())
    z = (x - exact.mean()) @ vectors / values.sqrt()
    assert z.mean(0).abs().max() > 6 / 500**0.5


@pytest.mark.parametrize("name", GUIDES)
def test_evidence_of_one_dimension_is_unbiased(name):
    """There the mean of the Jacobian's diagonal is all of it, and the chain of the prior exact."""
    prior = GaussianPrior(torch.tensor([0.2]).double(), 0.09)
    operator = Mask(torch.tensor([True]))
    y = torch.full((RUNS, 1), 0.7, dtype=torch.float64)
    likelihood = Likelihood(operator, GaussianNoise(0.1), y)
    guide = dataclasses.replace(GUIDES[name], num_steps=50, sigma_max=40.0)
    samples = Twisted(guide).sample(likelihood, prior, COUNT, generator=derive_generator(0))
    exact = torch.distributions.Normal(0.2, 0.1**0.5).log_prob(y[0, 0])
    ratio = (samples.info["log_evidence"] - exact).exp()
    assert abs(ratio.mean() - 1) < 3 * ratio.std() / RUNS**0.5 + START_ERROR


def test_evidence_of_two_dimensions_approaches_the_exact_one_with_the_steps(problem):
    prior, likelihood = problem
    matrix = likelihood.operator(torch.eye(2).double())
    variance = matrix.T @ prior.covariance() @ matrix + 0.01
    density = torch.distributions.Normal(prior.mean() @ matrix, variance.sqrt().squeeze())
    exact = density.log_prob(likelihood.y[0]).squeeze()
    errors = []
    for num_steps in (20, 100):
        sampler = TDS(num_steps, num_cg=2)
        samples = sampler.sample(likelihood, prior, COUNT, generator=derive_generator(0))
        errors.append(abs((samples.info["log_evidence"] - exact).exp().mean() - 1))
    # of order one; five times the steps
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.02


@pytest.mark.parametrize("twist", ["dps", "pigdm", "moment-matching"])
def test_two_modes_keep_their_weights(twist):
    """The data are of the second coordinate; the modes are told apart by the first."""
    means = torch.tensor([[-1.0, -0.5], [1.0, 0.5]]).double()
    covariances = 0.04 * torch.eye(2).double().expand(2, 2, 2)
    prior = GaussianMixturePrior(torch.tensor([0.3, 0.7]).double(), means, covariances)
    operator, runs = Mask(torch.tensor([False, True])), 8
    y = torch.tensor([-0.3]).double()
    likelihood = Likelihood(operator, GaussianNoise(0.5), y.expand(runs, 1))
    sampler = TDS(100, twist=twist, num_cg=1)
    samples = sampler.sample(likelihood, prior, 500, generator=derive_generator(0))
    right = (samples.log_weights.exp() * (samples.values[..., 0] > 0)).sum(0)
    alone = Likelihood(operator, GaussianNoise(0.5), y)
    exact = prior.posterior(alone).weights[1]
    assert 0.4 < exact < 0.5  # of a prior weight of 0.7
    guide = sampler.twisted().guide.sample(alone, prior, 500, generator=derive_generator(0))
    assert (guide.values[:, 0] > 0).double().mean() - exact > 0.03
    # the start under noise of 10 half ranges takes the middle of the range for the prior's mean
    assert abs(right.mean() - exact) < 4.5 * right.std() / runs**0.5 + 0.01


def test_moment_matching_keeps_its_particles_in_many_dimensions():
    """Half of 256 pixels observed, 128 particles: as good as independent samples."""
    generator = derive_generator(0, "problem")
    prior = GaussianPrior(torch.full((16, 16), 0.5), 0.04)
    mask = torch.rand(16, 16, generator=generator) < 0.5
    noise, operator = GaussianNoise(0.1), Mask(mask)
    y = noise.sample(operator(prior.sample(1, generator=generator)[0]), generator=generator)
    likelihood = Likelihood(operator, noise, y)
    samples = TDS(50, num_cg=2).sample(likelihood, prior, 128, generator=derive_generator(0))
    exact = torch.full((16, 16), 0.5)
    exact[mask] += 0.8 * (y - 0.5)
    std = torch.where(mask, (0.04 * 0.01 / 0.05) ** 0.5, 0.2)
    for part in (mask, ~mask):
        assert 0.97 < (samples.std() / std)[part].mean() < 1.03
        # the error of 128 independent samples is 0.088
        assert ((samples.mean() - exact) / std)[part].square().mean().sqrt() < 0.105
    assert samples.info["ess"].min() > 0.95
    log_evidence = torch.distributions.Normal(0.5, 0.05**0.5).log_prob(y).sum()
    assert abs(samples.info["log_evidence"] - log_evidence) < 0.1


def test_resampling_at_every_step_leaves_the_last_weights_alone(problem):
    prior, likelihood = problem
    often = TDS(20, twist="pigdm", ess_threshold=None)
    never = TDS(20, twist="pigdm", ess_threshold=0.0)
    info = [
        s.sample(likelihood, prior, COUNT, generator=derive_generator(0)).info["ess"]
        for s in (often, never)
    ]
    assert info[0].shape == (20, RUNS)
    assert info[0][-1].mean() > 0.9 > info[1][-1].mean()


def test_complex_images_with_and_without_a_known_decomposition(generator):
    transform = Matrix(torch.randn(3, 2, generator=generator, dtype=torch.complex128))
    prior = ComplexPrior(GaussianPrior(torch.zeros(2, dtype=torch.float64), 0.04), 0.2)
    y = torch.tensor([0.3 + 0.1j, -0.2j, 0.4 + 0j], dtype=torch.complex128).expand(RUNS, 3)
    means, evidence = [], []
    for operator in (transform, Composition(transform, Matrix(torch.eye(2).to(y)))):
        likelihood = Likelihood(operator, GaussianNoise(0.2), y)
        samples = TDS(50).sample(likelihood, prior, 64, generator=derive_generator(0))
        means.append(torch.view_as_real(samples.mean()))
        evidence.append(samples.info["log_evidence"])
    error = ((means[0].var(0) + means[1].var(0)) / RUNS).sqrt()
    assert ((means[0] - means[1]).mean(0).abs() < 4.5 * error).all()
    error = ((evidence[0].var() + evidence[1].var()) / RUNS).sqrt()
    assert abs((evidence[0] - evidence[1]).mean()) < 4.5 * error + 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Twisted(DPS()), "no density"),
        (lambda: Twisted(PiGDM(), ess_threshold=1.5), "ess_threshold"),
        (lambda: TDS(twist="exact"), "twist"),
        (lambda: TDS(num_steps=1), "num_steps"),
    ],
)
def test_refuses_settings_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
