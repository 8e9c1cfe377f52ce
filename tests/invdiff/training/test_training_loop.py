"""The optimisation against updates worked out by hand."""

import copy
import math

import pytest
import torch
from torch import nn

from invdiff.rng import derive_generator
from invdiff.superres.recipe import SuperResolutionRecipe
from invdiff.training import Training, train


class Weights(nn.Module):
    """Numbers that are learnt."""

    def __init__(self, *values):
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values, dtype=torch.float64))


def settings(**choices):
    plain = {"num_steps": 20, "num_warmup": 0, "weight_decay": 0.0, "dtype": torch.float32}
    return Training(**plain | choices)


def path_of(network, loss, training):
    """Train, and return the average with the weights after each step."""
    path = []
    average = train(
        network, loss, training, callback=lambda _: path.append(network.values.detach().clone())
    )
    return average, torch.stack(path)


def test_the_learning_rate_warms_up_and_decays():
    training = Training(num_steps=100, num_warmup=10)
    rates = [training.rate(step) for step in range(100)]
    cosine = [(1 + math.cos(math.pi * step / 100)) / 2 for step in range(101)]
    assert rates[:10] == pytest.approx([(k + 1) / 10 * cosine[k] for k in range(10)])
    assert rates[10:] == pytest.approx(cosine[10:100])
    assert training.rate(100) == pytest.approx(0)
    assert Training(num_warmup=0).rate(0) == 1


def test_steps_are_as_long_as_the_rate_where_the_gradient_is_constant():
    # Adam divides a constant gradient by its own size: the step is the rate
    training = settings(learning_rate=0.01, num_warmup=5)
    network = Weights(1.0)
    _, path = path_of(network, lambda n, _: 3 * n.values.sum(), training)
    steps = torch.cat([torch.ones(1, 1).double(), path]).diff(dim=0).flatten()
    expected = torch.tensor([-0.01 * training.rate(k) for k in range(20)]).double()
    torch.testing.assert_close(steps, expected, rtol=1e-5, atol=0)


def test_weights_decay_by_the_rate_where_there_is_no_gradient():
    training = settings(learning_rate=0.1, weight_decay=0.5)
    _, path = path_of(Weights(2.0), lambda n, _: 0 * n.values.sum(), training)
    factors = [1 - 0.1 * 0.5 * training.rate(k) for k in range(20)]
    torch.testing.assert_close(path[-1, 0].item(), 2 * math.prod(factors))


@pytest.mark.parametrize("num_warmup", [0, 4, 50])
def test_the_average_starts_after_the_warm_up(num_warmup):
    training = settings(learning_rate=0.1, num_warmup=num_warmup, ema_decay=0.7)
    generator = derive_generator(0)
    start = torch.randn(3, generator=generator).tolist()
    average, path = path_of(Weights(*start), lambda n, _: (n.values**2).sum(), training)
    expected = path[0]
    for step, weights in enumerate(path):
        # the warm-up and the first step after it replace, the others are mixed in
        expected = weights if step <= num_warmup else 0.7 * expected + 0.3 * weights
    torch.testing.assert_close(average.values.detach(), expected)
    assert not average.training
    assert average.values.data_ptr() != path[-1].data_ptr()


def test_a_gradient_counts_up_to_its_clip():
    def weights_after(outlier, clip):
        def loss(network, step):
            return (outlier if step == 3 else 1.0) * network.values.sum()

        return path_of(Weights(0.0), loss, settings(learning_rate=0.1, gradient_clip=clip))[1]

    torch.testing.assert_close(weights_after(1e4, 1.0), weights_after(1.0, 1.0))
    assert abs(weights_after(1e4, 1e9) - weights_after(1.0, 1e9)).max() > 0.01


def test_a_minimum_is_found():
    target = torch.tensor([0.5, -0.25, 2.0], dtype=torch.float64)
    training = settings(num_steps=400, learning_rate=0.1, ema_decay=0.9)
    average, _ = path_of(
        Weights(0.0, 0.0, 0.0), lambda n, _: ((n.values - target) ** 2).sum(), training
    )
    torch.testing.assert_close(average.values.detach(), target, rtol=0, atol=1e-3)


def test_every_step_is_told():
    told, asked = [], []

    def loss(network, step):
        asked.append(step)
        return (network.values * (step + 1)).sum()

    train(Weights(1.0), loss, settings(num_steps=3, learning_rate=1e-12), callback=told.append)
    assert asked == [step.step for step in told] == [0, 1, 2]
    assert [step.num_steps for step in told] == [3, 3, 3]
    assert [float(step.loss) for step in told] == pytest.approx([1, 2, 3])
    assert not any(step.loss.requires_grad for step in told)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_arithmetic_has_the_precision_that_was_asked_for(dtype):
    seen = []
    network = nn.Linear(2, 1)

    def loss(current, step):
        seen.append(current(torch.ones(1, 2)))
        return seen[-1].float().sum()

    average = train(network, loss, settings(num_steps=1, dtype=dtype))
    assert seen[0].dtype == dtype
    assert average.weight.dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graph_trains_the_same_weights():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        start = SuperResolutionRecipe(channels=(16, 32), layers=1).network().cuda()
    batch = torch.randn(2, 32, 8, 8, generator=derive_generator(0)).cuda()
    time = torch.zeros(2, device="cuda")
    averages = []
    for example in (None, (batch, time)):

        def loss(network, step):
            return network(batch, time, return_dict=False)[0].square().mean()

        training = settings(num_steps=4, learning_rate=1e-3)
        averages.append(train(copy.deepcopy(start), loss, training, graph_example=example))
    plain, graphed = (torch.cat([p.flatten() for p in a.parameters()]) for a in averages)
    torch.testing.assert_close(graphed, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("when", [0, 19])
def test_refuses_a_loss_that_diverged(bad, when):
    def loss(network, step):
        return network.values.sum() * (bad if step == when else 1.0)

    with pytest.raises(ValueError, match="not finite"):
        train(Weights(1.0), loss, settings())


@pytest.mark.parametrize(
    "choice",
    [
        {"num_steps": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"ema_decay": 1.0},
        {"ema_decay": -0.1},
        {"num_warmup": -1},
        {"weight_decay": -0.1},
        {"gradient_clip": 0.0},
        {"gradient_clip": math.nan},
    ],
)
def test_refuses_numbers_out_of_their_range(choice):
    with pytest.raises(ValueError, match=f"{next(iter(choice))}.*got"):
        Training(**choice)
