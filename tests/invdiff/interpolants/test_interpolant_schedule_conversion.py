import itertools

import pytest
import torch

from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.flow_prior import FlowPrior
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import Mirror, OneSided, TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.noise_levels import noise_level, time_of_level
from invdiff.interpolants.paths import LinearPath, PowerPath, TrigonometricPath
from invdiff.interpolants.process import FieldProcess
from invdiff.interpolants.schedule_conversion import ConvertedProcess
from invdiff.interpolants.sde import integrate_sde
from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator, population
from invdiff.samplers import TDS, Ensemble
from invdiff.samplers.resampling import ancestors, effective_sample_size, take
from invdiff.theory import mode_weights
from operators import GaussianNoise, Mask

LINEAR, VP, POWER = (OneSided(p) for p in (LinearPath(), TrigonometricPath(), PowerPath(1.5)))
# rounding of the solves in float64
EXACT = 1e-10
# standard errors
SIGNIFICANT = 4.5


@pytest.fixture
def likelihood():
    """The first coordinate, which is likelier in the rare component."""
    operator = Mask(torch.tensor([True, False])).double()
    return Likelihood(operator, GaussianNoise(0.8), torch.tensor([-0.6]).double())


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations([LINEAR, VP, POWER], 2)))
def test_a_converted_process_is_the_exact_one_of_the_new_path(mixture, old, new, generator):
    exact = MixtureProcess(new, mixture)
    ends = [] if old is POWER else [0.0, 1.0]
    times = (1e-6, 1 - 1e-6) if old is POWER else (0.0, 1.0)
    made = ConvertedProcess(MixtureProcess(old, mixture), new, times)
    for t in (0.02, 0.5, 0.99, *ends):
        t = torch.tensor(t).double()
        x = exact.sample(6, t, generator=generator)
        for name in ("velocity", "score"):
            torch.testing.assert_close(getattr(made, name)(x, t), getattr(exact, name)(x, t),
                                       rtol=EXACT, atol=EXACT)  # fmt: skip
    x, t = torch.randn(6, 2, generator=generator).double(), torch.linspace(0.1, 0.9, 6).double()
    torch.testing.assert_close(made.velocity(x, t), exact.velocity(x, t))
    torch.testing.assert_close(made.score(x, t), exact.score(x, t))


def test_the_velocity_is_that_of_the_change_of_variables(mixture, generator):
    x, s, step = torch.randn(5, 2, generator=generator).double(), torch.tensor(0.37).double(), 1e-5

    def time(s):
        return time_of_level(LINEAR, noise_level(VP, s))

    def scale(s):
        return VP.at(s).beta / LINEAR.at(time(s)).beta

    c, c_dot = scale(s), (scale(s + step) - scale(s - step)) / (2 * step)
    t_dot = (time(s + step) - time(s - step)) / (2 * step)
    process = MixtureProcess(LINEAR, mixture)
    expected = c_dot / c * x + c * t_dot * process.velocity(x / c, time(s))
    # central differences
    actual = ConvertedProcess(process, VP).velocity(x, s)
    torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-8)


def test_a_conversion_and_back_is_no_change(mixture, generator):
    process = MixtureProcess(LINEAR, mixture)
    learned = FieldProcess(LINEAR, b=process.velocity)
    back = ConvertedProcess(ConvertedProcess(learned, VP), LINEAR)
    x, t = torch.randn(5, 2, generator=generator).double(), torch.tensor(0.6).double()
    torch.testing.assert_close(back.velocity(x, t), process.velocity(x, t), rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(back.score(x, t), process.score(x, t), rtol=EXACT, atol=EXACT)


def test_the_ode_has_the_same_end_points(mixture, generator):
    z = torch.randn(20, 2, generator=generator).double()
    process = MixtureProcess(LINEAR, mixture)
    ends = [
        integrate_ode(p.velocity, z, time_grid(300, 0.0, 1.0))
        for p in (process, ConvertedProcess(process, VP, (0.0, 1.0)))
    ]
    # Heun's error at 300 steps
    torch.testing.assert_close(*ends, rtol=0, atol=2e-3)


def test_the_dtype_is_kept(mixture):
    x = torch.ones(3, 2)
    made = ConvertedProcess(MixtureProcess(LINEAR, mixture), VP)
    for t in (torch.tensor(0.5), torch.full((3,), 0.5).double()):
        assert made.velocity(x, t).dtype == made.score(x, t).dtype == torch.float32


def test_refuses_what_has_no_falling_noise_level(mixture):
    process = MixtureProcess(LINEAR, mixture)
    with pytest.raises(ValueError, match="without x0"):
        ConvertedProcess(process, TwoSided())
    with pytest.raises(ValueError, match="falls with time"):
        ConvertedProcess(process, Mirror())
    with pytest.raises(ValueError, match="low < high"):
        ConvertedProcess(process, VP, (0.4, 0.2))
    # beta' is 0 at t = 0, so that b says nothing about x1
    with pytest.raises(ValueError, match=r"within \(0, 1\)"):
        ConvertedProcess(MixtureProcess(POWER, mixture), VP, (0.0, 1.0))


def twist(process, likelihood, x, t):
    """Log of a guess of p(y | x_t): the data's Gaussian about the mean, widened by the noise."""
    flow = FlowPrior(process, (-4.0, 4.0), (2,), (0.0, 1.0))
    c = process.interpolant.at(t)
    sigma = c.gamma / c.beta
    mean = flow(x / c.beta, sigma)
    variance = likelihood.noise.sigma**2 + sigma**2 / (1 + sigma**2)
    offset = likelihood.operator(mean) - likelihood.y
    return -(offset**2).sum(-1) / (2 * variance) - variance.log() / 2


def resampled_particles(process, likelihood, count, epsilon, generator):
    """Sequential Monte Carlo: twelve stretches of the SDE, weights and resampling after each."""
    source = population(generator, ())

    def noise():
        return source.normal(count, (2,), torch.zeros(2).double())

    x = noise()
    log_weights, before = torch.zeros(count).double(), torch.zeros(count).double()
    ends = torch.linspace(0, 1, 13).double()
    for start, end in itertools.pairwise(ends):
        times = torch.linspace(start, end, 6).double()
        x = integrate_sde(process, x, times, epsilon=epsilon, noise=noise)
        now = twist(process, likelihood, x, end)
        log_weights, before = log_weights + now - before, now
        if effective_sample_size(log_weights) < 0.6:
            index = ancestors(log_weights, source)
            x, before = take(x, index), take(before, index)
            log_weights = torch.zeros_like(log_weights)
    return x, log_weights


def in_the_rare_component(prior, likelihood, x, log_weights):
    share = prior.posterior(likelihood).responsibilities(x)[:, 0]
    return (log_weights.softmax(0) * share).sum()


def test_resampled_particles_of_a_converted_flow_reach_the_posterior(mixture, likelihood):
    flow = FieldProcess(LINEAR, b=MixtureProcess(LINEAR, mixture).velocity)
    process = ConvertedProcess(flow, VP, (0.0, 1.0))
    exact = mixture.posterior(likelihood)
    runs = [
        resampled_particles(process, likelihood, 2000, ConstantEpsilon(0.7), derive_generator(0, k))
        for k in range(8)
    ]
    shares = torch.stack([in_the_rare_component(mixture, likelihood, *run) for run in runs])
    means = torch.stack([(w.softmax(0).unsqueeze(1) * x).sum(0) for x, w in runs])
    for value, truth in ((shares, exact.weights[0]), (means, exact.mean())):
        error, deviation = (value.mean(0) - truth).abs(), value.std(0) / len(runs) ** 0.5
        assert (error < SIGNIFICANT * deviation).all()
        assert (deviation < 0.01).all()
    # far from what the prior says
    assert exact.weights[0] > 0.55
    assert mixture.weights[0] < 0.31


def test_resampled_particles_part_ways_by_the_sde_only(mixture, likelihood):
    process = ConvertedProcess(MixtureProcess(LINEAR, mixture), VP, (0.0, 1.0))
    distinct = [
        len(torch.unique(x.float(), dim=0))
        for x, _ in (
            resampled_particles(process, likelihood, 400, ConstantEpsilon(e), derive_generator(0))
            for e in (0.7, 0.0)
        )
    ]
    # the last weights may copy a few once more
    assert distinct[0] > 380
    assert distinct[1] < 320


@pytest.mark.parametrize(
    ("sampler", "count"),
    [(TDS(num_steps=40), 400), (Ensemble(num_steps=60), 600)],
    ids=["tds", "afdps"],
)
def test_the_ensembles_of_the_package_do_so_on_a_flow(mixture, likelihood, sampler, count):
    flow = FieldProcess(LINEAR, b=MixtureProcess(LINEAR, mixture).velocity)
    prior = FlowPrior(flow, mixture.data_range, (2,))
    exact = mixture.posterior(likelihood)
    shares = []
    for k in range(6):
        samples = sampler.sample(likelihood, prior, count, generator=derive_generator(0, "flow", k))
        shares.append(mode_weights(samples, exact)[0])
    shares = torch.stack(shares).double()
    error, deviation = (shares.mean() - exact.weights[0]).abs(), shares.std() / len(shares) ** 0.5
    assert error < SIGNIFICANT * deviation
    assert deviation < 0.03
