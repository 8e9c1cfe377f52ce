"""Restoration by a bridge against closed forms of linear Gaussian measurements."""

import pytest
import torch

from invdiff.interpolants.couplings import Draw, PairedCoupling
from invdiff.interpolants.gammas import BrownianGamma, NoGamma
from invdiff.interpolants.interpolant import OneSided, TwoSided
from invdiff.interpolants.losses import uniform_times
from invdiff.interpolants.measured_coupling import MeasuredCoupling
from invdiff.interpolants.residual_predictor import (
    ResidualPredictor,
    prediction_loss,
    train_predictor,
)
from invdiff.interpolants.restoration import BridgePrior, BridgeRestoration
from invdiff.likelihood import Likelihood
from invdiff.training import Training
from operators import GaussianNoise
from operators.matrix import Matrix

DIM, SIGMA = 3, 0.5
BRIDGE = TwoSided(gamma=BrownianGamma(0.6))


def random_matrix(*shape, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


COVARIANCE = random_matrix(DIM, DIM, seed=1) @ random_matrix(DIM, DIM, seed=1).mT / 3
OPERATOR = Matrix(random_matrix(2, DIM, seed=2))
RECONSTRUCT = torch.linalg.pinv(random_matrix(2, DIM, seed=2))


def reconstruct(known):
    return known.y @ RECONSTRUCT.mT


def conditional_law():
    """Return gain and covariance of x1 given x0 = R y."""
    a = random_matrix(2, DIM, seed=2)
    s = a @ COVARIANCE @ a.mT + SIGMA**2 * torch.eye(2, dtype=torch.float64)
    gain = COVARIANCE @ a.mT @ torch.linalg.inv(s)
    # R has full rank on the data: x0 tells all of y
    return gain @ a, COVARIANCE - gain @ a @ COVARIANCE


def exact_prediction(interpolant):
    back, spread = conditional_law()

    def predict(x, t, x0):
        c = interpolant.at(t)
        mean = x0 @ back.mT
        seen = x - c.alpha * x0 - c.beta * mean
        total = c.beta**2 * spread + c.gamma**2 * torch.eye(DIM, dtype=torch.float64)
        # nothing is seen at the start
        gain = c.beta * spread @ torch.linalg.pinv(total)
        return mean + seen @ gain.mT

    return predict


PRIOR = BridgePrior(exact_prediction(BRIDGE), BRIDGE, reconstruct)


def measured(num_problems=(), seed=4):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(*num_problems, 2, generator=generator, dtype=torch.float64)
    return Likelihood(OPERATOR, GaussianNoise(SIGMA), y)


@pytest.mark.parametrize("stochasticity", [0.0, 0.5, 1.0])
def test_samples_have_the_closed_form_conditional_law(generator, stochasticity):
    known, count = measured(), 4000
    samples = BridgeRestoration(60, stochasticity).sample(known, PRIOR, count, generator=generator)
    back, spread = conditional_law()
    mean = reconstruct(known) @ back.mT
    error = (samples.values.mean(0) - mean) / (spread.diagonal() / count).sqrt()
    assert error.abs().max() < 4.5
    # five standard errors of a covariance, and the bias of sixty steps
    allowed = 5 * spread.diagonal().max() / count**0.5 + 0.02 * spread.diagonal().max()
    assert (torch.cov(samples.values.mT) - spread).abs().max() < allowed


def test_the_mean_needs_no_small_steps(generator):
    known = measured((3,))
    back, _ = conditional_law()
    mean = reconstruct(known) @ back.mT
    # standard errors of 3000 draws of variances of up to 1: 0.02
    for calls in (1, 2, 3):
        drawn = BridgeRestoration(calls).sample(known, PRIOR, 3000, generator=generator)
        torch.testing.assert_close(drawn.mean(), mean, rtol=0, atol=0.08)
    once = BridgeRestoration(1).sample(known, PRIOR, 2, generator=generator)
    torch.testing.assert_close(once.values, mean.expand(2, 3, DIM))


def test_the_data_step_is_the_compromise(generator):
    known = measured()
    back, _ = conditional_law()
    guess = reconstruct(known) @ back.mT
    sampler = BridgeRestoration(1, data_spread=0.4)
    found = sampler.sample(known, PRIOR, 1, generator=generator).values[0]
    a = random_matrix(2, DIM, seed=2)
    matrix = a.mT @ a / SIGMA**2 + torch.eye(DIM, dtype=torch.float64) / 0.4**2
    expected = torch.linalg.solve(matrix, a.mT @ known.y / SIGMA**2 + guess / 0.4**2)
    torch.testing.assert_close(found, expected)
    assert known.residual_over_noise(found) < known.residual_over_noise(guess)


def test_a_sample_does_not_depend_on_its_batch():
    sampler = BridgeRestoration(4, data_spread=0.3)

    def draw(known, count):
        generator = torch.Generator().manual_seed(5)
        return sampler.sample(known, PRIOR, count, generator=generator).values

    many, few = draw(measured((2,)), 5), draw(measured((2,)), 2)
    torch.testing.assert_close(many[:2], few)
    alone = draw(Likelihood(OPERATOR, GaussianNoise(SIGMA), measured((2,)).y[0]), 2)
    torch.testing.assert_close(alone, few[:, 0])
    assert not torch.equal(few[0], few[1])


def test_the_callback_sees_every_step(generator):
    seen = []
    known = measured((2,))
    drawn = BridgeRestoration(3).sample(known, PRIOR, 2, generator=generator, callback=seen.append)
    assert [(p.step, p.num_steps) for p in seen] == [(0, 3), (1, 3), (2, 3)]
    assert torch.equal(seen[-1].image, drawn.values)
    assert seen[0].misfit.shape == (2, 2)
    assert seen[-1].sigma == 0


@pytest.mark.parametrize(
    "change",
    [{"num_calls": 0}, {"num_cg": 0}, {"data_spread": -0.1}, {"data_spread": float("nan")},
     {"stochasticity": 1.1}, {"stochasticity": -0.1}],
)  # fmt: skip
def test_refuses_numbers_out_of_range(change):
    with pytest.raises(ValueError, match="BridgeRestoration: expected"):
        BridgeRestoration(**change)


def test_refuses_a_reconstruction_of_another_shape(generator):
    prior = BridgePrior(PRIOR.predict, BRIDGE, lambda known: known.y)
    with pytest.raises(ValueError, match=r"shape \(3,\), got \(2,\)"):
        BridgeRestoration().sample(measured(), prior, 1, generator=generator)


class Silent(torch.nn.Module):
    def forward(self, x, t, condition):
        return torch.zeros_like(x)


def white_pairs(count, generator, spread=0.3):
    x0 = torch.rand(count, 1, 4, 4, generator=generator, dtype=torch.float64)
    r = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    return Draw(x0, x0 + spread * r)


def test_a_silent_network_predicts_the_linear_mean(generator):
    predictor = ResidualPredictor(Silent(), BRIDGE, 0.3)
    draw = white_pairs(6000, generator)
    for time in (0.0, 0.1, 0.6, 0.99):
        t = torch.tensor(time, dtype=torch.float64)
        z = torch.randn(draw.x1.shape, generator=generator, dtype=torch.float64)
        x = BRIDGE.point(t, draw.x0, draw.x1, z)
        error = predictor(x, t, draw.x0) - draw.x1
        assert error.std() == pytest.approx(predictor.remainder(t).item(), rel=0.02)
        # the error of a conditional mean has nothing to do with what was seen
        seen = x - draw.x0
        assert abs((error * seen).mean()) < 0.02 * error.std() * seen.std() + 1e-12


def test_every_time_starts_with_a_loss_of_one(generator):
    predictor = ResidualPredictor(Silent(), BRIDGE, 0.3)
    draw, t = white_pairs(400, generator), uniform_times(400, generator)
    z = torch.randn(draw.x1.shape, generator=generator, dtype=torch.float64)
    losses = prediction_loss(predictor, BRIDGE, draw, t, z, predictor.remainder(t))
    assert losses.shape == (400,)
    # 400 means of 16 squares of normals
    assert losses.mean().item() == pytest.approx(1, abs=5 * (2 / 6400) ** 0.5)
    with pytest.raises(ValueError, match="pairs with x0"):
        prediction_loss(predictor, OneSided(), Draw(None, draw.x1), t, z, t)


def test_the_error_of_the_velocity_is_that_of_the_prediction(generator):
    """b is alpha' x0 + beta' x1 + gamma' z, and z is known from x_t, x0 and x1."""
    t = torch.tensor(0.3, dtype=torch.float64)
    c = BRIDGE.at(t)
    x0, x1, z, guess = random_matrix(4, 5, seed=6)
    x = BRIDGE.point(t, x0, x1, z)
    velocity = [
        c.alpha_dot * x0 + c.beta_dot * clean + c.gamma_dot * (x - c.alpha * x0 - c.beta * clean)
        / c.gamma
        for clean in (x1, guess)
    ]  # fmt: skip
    factor = c.beta_dot - c.beta * c.gamma_dot / c.gamma
    torch.testing.assert_close(velocity[1] - velocity[0], factor * (guess - x1))


def test_a_predictor_without_noise_has_nothing_left_to_say():
    t = torch.tensor([0.0, 0.5], dtype=torch.float64)
    left = ResidualPredictor(Silent(), TwoSided(gamma=NoGamma()), 0.3).remainder(t)
    assert left.tolist() == [pytest.approx(0.3), 0.0]


class Convolution(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(2, 1, 3, padding=1)
        torch.nn.init.zeros_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)

    def forward(self, x, t, condition):
        return self.layer(torch.cat([x, condition], 1))


def test_training_lowers_the_loss_below_the_linear_mean(generator):
    clean = torch.rand(16, 1, 8, 8, generator=generator)
    # the residual is a function of x0: a network can know it
    coupling = PairedCoupling(clean, 1.5 * clean)
    predictor = ResidualPredictor(Convolution(), BRIDGE, 0.3)
    training = Training(num_steps=80, num_warmup=5, learning_rate=0.02, ema_decay=0.9,
                        dtype=torch.float32)  # fmt: skip
    losses = []
    train_predictor(
        predictor,
        coupling,
        training,
        batch_size=8,
        start_share=0.5,
        generator=generator,
        callback=lambda step: losses.append(step.loss.item()),
    )
    assert sum(losses[-10:]) < 0.3 * sum(losses[:3]) / 3 * 10


def test_refuses_choices_out_of_range(generator):
    for spread, scale in ((0.0, 1.0), (1.0, 0.0)):
        with pytest.raises(ValueError, match="spread and scale > 0"):
            ResidualPredictor(Silent(), BRIDGE, spread, 0.0, scale)
    coupling = MeasuredCoupling(lambda n, g: None, OPERATOR, GaussianNoise(SIGMA), reconstruct)
    for batch, share, message in (
        (0, 0.5, "batch_size >= 1"),
        (1, 1.5, r"start_share in \[0, 1\]"),
    ):
        with pytest.raises(ValueError, match=message):
            train_predictor(ResidualPredictor(Silent(), BRIDGE, 1.0), coupling, Training(),
                            batch_size=batch, start_share=share, generator=generator)  # fmt: skip
