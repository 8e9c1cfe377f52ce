from __future__ import annotations

import pytest
import torch
from torch import nn

from invdiff.interpolants.annealed_reflow import Annealing, annealed_reflow
from invdiff.interpolants.couplings import Draw, IndependentCoupling, PairedCoupling
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.networks import FieldMLP, told
from invdiff.interpolants.one_step import OneStepLoss, OneStepPrior, distil_one_step
from invdiff.interpolants.rectified_flow import ReflowedGaussian, reflow_pairs
from invdiff.rng import derive_generator
from invdiff.theory.sliced import mean_sliced_wasserstein2
from invdiff.training import Training, drawn_network

MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.5, 0.7], [0.7, 0.8]], dtype=torch.float64)
TEACHER = ReflowedGaussian(MEAN, COVARIANCE).velocity
PARTS = {
    "pairs": OneStepLoss(guidance=0.0),
    "guidance": OneStepLoss(distillation=0.0),
    "both": OneStepLoss(),
    "huber": OneStepLoss(huber=0.1),
}


def normal(count, *labels, dtype=torch.float64):
    return torch.randn(count, 2, generator=derive_generator(0, *labels), dtype=dtype)


def root():
    values, vectors = torch.linalg.eigh(COVARIANCE)
    return vectors @ torch.diag(values.sqrt()) @ vectors.T


class Affine(nn.Module):
    """A student that is linear in x0 and knows no time."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, x, t):
        return self.layer(x)


def exact_student():
    student = Affine().double()
    student.layer.load_state_dict({"weight": root() - torch.eye(2), "bias": MEAN})
    return student


def draw_of(count):
    x0 = normal(count, "x0")
    return Draw(x0, MEAN + x0 @ root())


@pytest.mark.parametrize("part", PARTS)
def test_the_exact_map_has_no_gradient(part):
    student, t = exact_student(), torch.linspace(0.2, 0.8, 30).double()
    loss = PARTS[part](student, TEACHER, draw_of(30), t).sum()
    loss.backward()
    assert loss.item() < 1e-20
    assert student.layer.weight.grad.abs().max() < 1e-9


@pytest.mark.parametrize("part", PARTS)
def test_a_linear_student_reaches_the_exact_map(part):
    training = Training(num_steps=400, learning_rate=0.05, num_warmup=10, weight_decay=0.0,
                        ema_decay=0.9, dtype=torch.float32)  # fmt: skip
    x0 = normal(1000, "x0", dtype=torch.float32)
    # guidance has to do without x1
    x1 = x0.flip(0) if part == "guidance" else (MEAN + x0.double() @ root()).float()
    teacher = ReflowedGaussian(MEAN.float(), COVARIANCE.float()).velocity
    student = distil_one_step(
        Affine(), teacher, PairedCoupling(x0, x1), training, loss=PARTS[part], batch_size=64,
        generator=derive_generator(0, "training"),
    )  # fmt: skip
    found = student.layer.weight.detach().double() + torch.eye(2)
    torch.testing.assert_close(found, root(), rtol=0, atol=0.01)
    torch.testing.assert_close(student.layer.bias.detach().double(), MEAN, rtol=0, atol=0.01)


def test_the_target_of_the_guidance_is_a_constant_in_the_derivatives():
    # u = p, v = 3 x: the target is x_t + (1 - t) 3 x_t - x0 with x_t = x0 + t p
    p, x0, t = torch.tensor([[0.7]]).requires_grad_(), torch.tensor([[0.4]]), torch.tensor([0.5])
    loss = OneStepLoss(distillation=0.0, guidance=2.0)
    value = loss(lambda x, t: p, lambda x, t: 3 * x, Draw(x0, x0), t)
    x_t = 0.4 + 0.5 * 0.7
    off = 0.7 - (x_t + 0.5 * 3 * x_t - 0.4)
    assert value.item() == pytest.approx(2 * off**2, rel=1e-5)
    (gradient,) = torch.autograd.grad(value.sum(), p)
    assert gradient.item() == pytest.approx(2 * 2 * off, rel=1e-5)


def test_the_teacher_rests_without_guidance_and_the_student_knows_only_the_start():
    times = []

    def student(x, t):
        times.append(t)
        return x

    def teacher(x, t):
        raise AssertionError

    OneStepLoss(guidance=0.0)(student, teacher, draw_of(4), torch.rand(4))
    assert len(times) == 1
    assert times[0].tolist() == [0.0] * 4


def test_huber_is_a_square_for_small_and_a_line_for_large_distances():
    zero, c = torch.zeros(2, 3), 0.5
    x1 = torch.tensor([[1e-3, 0, 0], [3e4, 4e4, 0]])
    loss = OneStepLoss(guidance=0.0, huber=c)
    small, large = loss(lambda x, t: zero, lambda x, t: zero, Draw(zero, x1), torch.rand(2))
    assert small.item() == pytest.approx(1e-6, rel=0.2)
    assert large.item() == pytest.approx(2 * c * 5e4, rel=1e-4)


def test_times_are_uniform_within_their_limits(generator):
    t = OneStepLoss(times=(0.2, 0.8)).draw_times(1000, generator)
    assert 0.2 <= t.min() < 0.201
    assert 0.799 < t.max() <= 0.8
    assert t.mean().item() == pytest.approx(0.5, abs=1e-3)


def test_one_call_of_the_straight_flow_draws_its_normal_law(generator):
    prior = OneStepPrior(TEACHER, (2,))
    x = prior.sample(20_000, generator, dtype=torch.float64)
    # four standard errors
    torch.testing.assert_close(x.mean(0), MEAN, rtol=0, atol=0.04)
    torch.testing.assert_close(torch.cov(x.T), COVARIANCE, rtol=0, atol=0.06)
    again = prior.sample(3, torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.equal(again, prior.sample(3, torch.Generator().manual_seed(0),
                                           dtype=torch.float64))  # fmt: skip
    assert not again.requires_grad
    z = normal(5, "z").requires_grad_()
    prior(z).sum().backward()
    torch.testing.assert_close(z.grad, root().sum(0).expand(5, 2))


class EmpiricalFlow:
    """The flow from noise to a list of points: E[x1 | x_t] by softmax(-|x - t x1|^2 / 2(1-t)^2)."""

    def __init__(self, points):
        self.points = points

    def velocity(self, x, t):
        t = t.to(x).clamp(max=0.999).reshape(-1, 1)
        square = (x[:, None] - t[..., None] * self.points).square().sum(-1)
        mean = (-square / (2 * (1 - t) ** 2)).softmax(-1) @ self.points
        return (mean - x) / (1 - t)


def ring(count, label):
    angle = 2 * torch.pi * torch.arange(count) / count
    noise = 0.05 * normal(count, label, "noise", dtype=torch.float32)
    return 2 * torch.stack([angle.cos(), angle.sin()], 1) + noise


def test_the_chain_from_points_to_one_call():
    flow, times = EmpiricalFlow(ring(64, "points")), time_grid(100, 0.0, 1.0)
    x0 = normal(1500, "pairs", dtype=torch.float32)
    # the last step of Euler's method ends in the mean itself
    pairs = reflow_pairs(flow.velocity, x0, times, method="euler")
    # the teacher ends in its points
    nearest = torch.cdist(pairs.x1, flow.points).min(1).values
    assert nearest.quantile(0.95) < 0.02

    network = drawn_network(lambda: FieldMLP(2, 64, 2), generator=derive_generator(0, "weights"))
    training = Training(num_steps=600, learning_rate=8e-3, num_warmup=20, weight_decay=0.0,
                        ema_decay=0.95, dtype=torch.float32)  # fmt: skip
    student = annealed_reflow(
        network, pairs, Annealing(300), training, batch_size=256,
        generator=derive_generator(0, "reflow"),
    )  # fmt: skip
    straight = told(student, None)
    one = drawn_network(lambda: FieldMLP(2, 64, 2), generator=derive_generator(0, "weights"))
    one.load_state_dict(student.state_dict())
    one = distil_one_step(
        one, straight, pairs, training, loss=OneStepLoss(), batch_size=256,
        generator=derive_generator(0, "distil"),
    )  # fmt: skip

    data, z = ring(2000, "data"), normal(2000, "test", dtype=torch.float32)

    def distance(x):
        return float(mean_sliced_wasserstein2(x, data, generator=derive_generator(0, "sliced")))

    with torch.no_grad():
        first = distance(integrate_ode(flow.velocity, z, time_grid(1, 0.0, 1.0), method="euler"))
        second = distance(integrate_ode(straight, z, time_grid(1, 0.0, 1.0), method="euler"))
        last = distance(OneStepPrior(told(one, None), (2,))(z))
    assert second < 0.2 * first
    assert last < 0.5 * second


def test_bad_input_raises():
    with pytest.raises(ValueError, match=r"got \(0.0, 0.0\)"):
        OneStepLoss(0.0, 0.0)
    with pytest.raises(ValueError, match="weights >= 0"):
        OneStepLoss(-1.0, 1.0)
    with pytest.raises(ValueError, match="huber > 0, got 0"):
        OneStepLoss(huber=0.0)
    with pytest.raises(ValueError, match=r"got \(0.8, 0.2\)"):
        OneStepLoss(times=(0.8, 0.2))
    lonely = IndependentCoupling(lambda count, generator: torch.zeros(count, 2))
    training, generator = Training(num_steps=1, dtype=torch.float32), derive_generator(0, "bad")
    options = {"loss": OneStepLoss(), "generator": generator}
    with pytest.raises(ValueError, match="pairs with x0"):
        distil_one_step(Affine(), TEACHER, lonely, training, batch_size=2, **options)
    with pytest.raises(ValueError, match="batch_size >= 1"):
        distil_one_step(Affine(), TEACHER, lonely, training, batch_size=0, **options)
    with pytest.raises(ValueError, match="u of shape"):
        OneStepLoss()(lambda x, t: x[:, :1], TEACHER, draw_of(3), torch.rand(3))
    with pytest.raises(ValueError, match="latents of"):
        OneStepPrior(TEACHER, (3,))(torch.zeros(4, 2))
