import math

import pytest
import torch

from invdiff.interpolants import (
    ConvertedProcess,
    DenoiserProcess,
    FieldProcess,
    FlowPrior,
    LinearPath,
    MixtureProcess,
    OneSided,
    RolloverBudget,
    TrigonometricPath,
)
from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.samplers import Ensemble
from invdiff.theory.marginals import quantiles
from invdiff.theory.spacings import spacing_divergence
from operators import GaussianNoise, Matrix

LINEAR, VP = OneSided(LinearPath()), OneSided(TrigonometricPath())
# standard errors
SIGNIFICANT = 4.5


class Rewarded(Likelihood):
    """A likelihood that was made up: its log is a function of the image."""

    def __init__(self, like, reward):
        super().__init__(like.operator, like.noise, like.y)
        self.reward = reward

    def log_prob(self, x):
        return self.reward(x)


@pytest.fixture
def line():
    weights, means = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([-1.5, 0.3, 1.8]).unsqueeze(1)
    covariances = torch.tensor([0.25, 0.16, 0.16]).reshape(3, 1, 1)
    return GaussianMixturePrior(weights.double(), means.double(), covariances.double())


def measured(*problems):
    y = torch.full((*problems, 1), 0.4).double()
    return Likelihood(Matrix(torch.eye(1).double()), GaussianNoise(1.0), y)


def rewards_of(*values):
    """Return a reward of one number a call, whatever the image."""
    rest = iter(values)
    return lambda x: torch.full(x.shape[:-1], float(next(rest))).double()


def draws(sampler, line, reward, count=3):
    likelihood = Rewarded(measured(), reward)
    samples = sampler.sample(likelihood, line, count, generator=derive_generator(0))
    return samples, samples.info["draws"]


def test_a_flow_is_walked_on_the_path_that_was_chosen(mixture, generator):
    flow = FieldProcess(LINEAR, b=MixtureProcess(LINEAR, mixture).velocity)
    prior = FlowPrior(flow, mixture.data_range, (2,))
    exact, x = MixtureProcess(VP, mixture), torch.randn(6, 2, generator=generator).double()
    for t in torch.tensor([0.02, 0.5, 0.99]).double():
        for made in (DenoiserProcess(prior, VP), ConvertedProcess(flow, VP)):
            for name in ("velocity", "score"):
                actual, expected = getattr(made, name)(x, t), getattr(exact, name)(x, t)
                torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("noise_scale", [0.0, 1.5, 3.0])
def test_without_a_preference_every_sde_has_the_law_of_the_ode(line, noise_scale):
    steps = 200
    sampler = RolloverBudget(steps + 1, steps, 1, 1, noise_scale)
    count = 3000
    samples, _ = draws(sampler, line, lambda x: torch.zeros(x.shape[:-1]).double(), count)
    x = samples.values.squeeze(1)
    edges = quantiles(line, torch.linspace(0, 1, 9)[1:-1])
    share = torch.bincount(torch.bucketize(x, edges), minlength=8) / count
    assert ((share - 1 / 8).abs() < SIGNIFICANT * math.sqrt(7 / 64 / count)).all()


def test_the_budget_is_spent_and_not_overdrawn(line):
    calls = []

    class Counted(GaussianMixturePrior):
        def __call__(self, x, sigma):
            calls.append(x.shape[:-1])
            return super().__call__(x, sigma)

    prior = Counted(line.weights, line.means, line.covariances)
    sampler = RolloverBudget(max_calls=500, num_steps=10, num_starts=25, num_chains=2)
    assert sampler.quota == 22
    samples = sampler.sample(measured(), prior, 3, generator=derive_generator(0))
    assert set(calls) == {(2, 3)}
    assert 2 * len(calls) == samples.info["num_calls"] == sampler.num_calls == 490
    assert samples.info["draws"].shape == (10, 2, 3)
    assert (samples.info["draws"].sum(0) == 220).all()


def test_what_is_left_rolls_over_and_a_spent_step_takes_its_best_child(line):
    # quota 4: the start; step 0 advances at once; step 1 has 3 + 4 draws, and none that is better
    rewards = (1, 2, *(0, 0, 0.5, 0, 0, 0, 0), *[0, 0, 0, 0.25])
    sampler = RolloverBudget(13, num_steps=3, num_starts=1, num_chains=1)
    assert sampler.quota == 4
    samples, spent = draws(sampler, line, rewards_of(*rewards))
    assert spent[:, 0, 0].tolist() == [1, 7, 4]
    # the best child of the last step counts, not the best of all
    assert samples.info["reward"].tolist() == [0.25] * 3


def test_a_worse_child_that_had_to_advance_does_not_lower_the_best(line):
    # quota 3: step 1 ends in a child of 0.5, and 1 is still no better than the 2 of step 0
    rewards = (1, 2, *(0, 0, 0.5, 0, 0), *(1, 0, 0), *(0, 0, 0))
    sampler = RolloverBudget(13, num_steps=4, num_starts=1, num_chains=1)
    _, spent = draws(sampler, line, rewards_of(*rewards))
    assert spent[:, 0, 0].tolist() == [1, 5, 3, 3]


def test_the_last_step_takes_all_that_is_left(line):
    sampler = RolloverBudget(13, num_steps=3, num_starts=1, num_chains=1)
    samples, spent = draws(sampler, line, rewards_of(*range(13)))
    assert spent[:, 0, 0].tolist() == [1, 1, 10]
    assert (samples.info["reward"] == 12).all()


def test_an_equal_reward_is_not_better(line):
    sampler = RolloverBudget(13, num_steps=3, num_starts=1, num_chains=1)
    _, spent = draws(sampler, line, rewards_of(*[1] * 13))
    assert spent[:, 0, 0].tolist() == [4, 4, 4]


def test_the_leading_chain_and_the_best_start_are_chosen(line):
    likelihood = Rewarded(measured(), lambda x: x.squeeze(-1))
    few, many = (
        RolloverBudget(4 * (starts + 5), 5, starts, 4, noise_scale=0.0).sample(
            likelihood, line, 200, generator=derive_generator(0)
        )
        for starts in (1, 16)
    )
    torch.testing.assert_close(few.info["reward"], few.values.squeeze(1))
    # without noise the reward grows along with that of the start; both begin with the same starts
    assert (many.values >= few.values - 1e-9).all()
    assert many.values.mean() > few.values.mean() + 0.5


def test_a_sample_does_not_depend_on_the_others(line):
    sampler = RolloverBudget(60, 5, 3, 2)
    one, five = (
        sampler.sample(measured(), line, n, generator=derive_generator(0)).values for n in (1, 5)
    )
    torch.testing.assert_close(five[:1], one)
    batch = sampler.sample(
        measured(2), line, 3, generator=[derive_generator(0), derive_generator(1)]
    )
    alone = sampler.sample(measured(), line, 3, generator=derive_generator(1))
    assert batch.values.shape == (3, 2, 1)
    torch.testing.assert_close(batch.values[:, 1], alone.values)


def test_the_units_of_the_image_do_not_matter(line):
    scaled = GaussianMixturePrior(line.weights, 5 + 10 * line.means, 100 * line.covariances)
    y = torch.tensor([9.0]).double()
    likelihood = Likelihood(Matrix(torch.eye(1).double()), GaussianNoise(10.0), y)
    sampler = RolloverBudget(60, 5, 3, 2)
    plain = sampler.sample(measured(), line, 4, generator=derive_generator(0))
    other = sampler.sample(likelihood, scaled, 4, generator=derive_generator(0))
    torch.testing.assert_close(other.values, 5 + 10 * plain.values, rtol=0, atol=1e-5)


def test_more_calls_go_away_from_the_posterior_and_more_particles_towards_it(line):
    exact = line.posterior(measured())
    far = [
        spacing_divergence(
            RolloverBudget(calls, 20, calls // 20).sample(
                measured(), line, 1000, generator=derive_generator(0)
            ),
            exact,
        )
        for calls in (120, 240, 480)
    ]
    # more than the prior has, which knows nothing of the data: 0.43
    assert far[0] > 0.5
    assert far[1] > far[0] + 2
    assert far[2] > far[1] + 1
    streams = [derive_generator(0, k) for k in range(1000)]
    ensemble = Ensemble(num_steps=20, prior_std=0.05)
    samples = ensemble.sample(measured(1000), line, 8, generator=streams)
    index = samples.log_weights.double().exp().T.multinomial(1, generator=derive_generator(1))
    # 0.005 at 8000 of them; the spread of the estimate at 1000 is 0.003
    assert spacing_divergence(samples.values.squeeze(-1).T.gather(1, index), exact) < 0.02


def test_the_callback_sees_every_draw(line):
    seen = []
    RolloverBudget(60, 5, 3, 2).sample(
        measured(), line, 4, generator=derive_generator(0), callback=seen.append
    )
    assert [p.step for p in seen] == list(range(25))
    assert all(p.num_steps == 25 and p.image.shape == (4, 1) for p in seen)
    assert all(p.sigma.shape == p.misfit.shape == (4,) for p in seen)
    half = (line.data_range[1] - line.data_range[0]) / 2
    levels = half / torch.tan(torch.arange(5).double() * math.pi / 10)
    sigmas = torch.stack([p.sigma for p in seen])
    # of the step that is being taken; all are at the last one in the end
    assert torch.isclose(sigmas.unsqueeze(-1), levels).any(-1).all()
    torch.testing.assert_close(sigmas[-1], levels[-1].expand(4))
    assert seen[-1].misfit.mean() < seen[0].misfit.mean()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"max_calls": 69}, "expected max_calls >= num_chains.* = 70, got 69"),
        ({"max_calls": math.nan}, " = 70, got nan"),
        ({"num_steps": 0}, "num_steps, num_starts and num_chains >= 1, got 0, 25 and 2"),
        ({"num_starts": 0}, "got 10, 0 and 2"),
        ({"num_chains": 0}, "got 10, 25 and 0"),
        ({"noise_scale": -1.0}, "RolloverBudget: expected a finite noise_scale >= 0, got -1"),
        ({"noise_scale": math.nan}, "got nan"),
    ],
)
def test_refuses_what_does_not_fit(choice, message):
    with pytest.raises(ValueError, match=message):
        RolloverBudget(**choice)


def test_refuses_a_prior_of_other_images(mixture):
    with pytest.raises(ValueError, match="has images of shape"):
        RolloverBudget().sample(measured(), mixture, 1, generator=derive_generator(0))
