"""The options of published optimisations against updates worked out by hand."""

import math

import pytest
import torch
from test_training_loop import Weights, settings
from torch import nn

from invdiff.training import Training, train


def path_of(network, loss, training, **choices):
    path = []
    callback = lambda _: path.append(  # noqa: E731
        torch.cat([p.detach().clone() for p in network.parameters()])
    )
    average = train(network, loss, training, callback=callback, **choices)
    return average, torch.stack(path)


def test_the_learning_rate_falls_by_a_factor_after_so_many_steps():
    training = settings(rate_decay=0.5, decay_steps=3)
    assert [training.rate(step) for step in range(7)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    warm = settings(rate_decay=0.5, decay_steps=1, num_warmup=2)
    assert [warm.rate(step) for step in range(3)] == [0.5, 0.5, 0.25]


def test_coupled_decay_is_a_part_of_the_gradient():
    # Adam's first step is as long as the rate, whatever the gradient: here only its decay
    decay = {"weight_decay": 1e-3, "rate_decay": 1.0, "learning_rate": 0.1}
    still = lambda n, _: 0 * n.values.sum()  # noqa: E731
    _, path = path_of(Weights(2.0, -3.0), still, settings(num_steps=1, decoupled=False, **decay))
    torch.testing.assert_close(path[0], torch.tensor([1.9, -2.9]).double(), atol=1e-5, rtol=0)
    _, path = path_of(Weights(2.0, -3.0), still, settings(num_steps=1, **decay))
    torch.testing.assert_close(path[0], torch.tensor([1.9998, -2.9997]).double())


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_decay_of_a_growing_average_grows(decay):
    training = settings(learning_rate=0.1, growing_ema=True, ema_decay=decay)
    start = torch.tensor([0.5, -1.0]).double()
    average, path = path_of(
        Weights(*start.tolist()), lambda n, _: n.values.square().sum(), training
    )
    expected = start
    for n, weights in enumerate(path, 1):
        kept = min(decay, (1 + n) / (10 + n))
        expected = kept * expected + (1 - kept) * weights
    torch.testing.assert_close(average.values.detach(), expected)


class Parts(nn.Module):
    """Two parts."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Weights(0.0), Weights(0.0)


def test_parts_are_clipped_each_on_its_own():
    # the large gradient of the first part must not shrink that of the second
    def loss(network, step):
        size = 1e4 if step == 3 else 1.0
        return size * network.first.values.sum() + 0.5 * network.second.values.sum()

    def end(clipped, network):
        _, path = path_of(network, loss, settings(learning_rate=0.1), clipped=clipped(network))
        return path[-1]

    alone = end(lambda n: (n.first, n.second), Parts())
    steps = -0.1 * sum((1 + math.cos(math.pi * k / 20)) / 2 for k in range(20))
    torch.testing.assert_close(alone, torch.tensor([steps] * 2).double(), rtol=1e-5, atol=0)
    assert abs(end(lambda n: (), Parts())[1] - steps) > 0.01


@pytest.mark.parametrize(
    "choice",
    [{"rate_decay": 0.0}, {"rate_decay": 1.1}, {"rate_decay": math.nan}, {"decay_steps": 0}],
)
def test_refuses_numbers_out_of_their_range(choice):
    with pytest.raises(ValueError, match=r"decay_steps >= 1 and rate_decay.*got"):
        Training(**choice)
