"""One loss for all parametrisations: each is the loss that its paper writes down."""

from __future__ import annotations

import pytest
import torch

from invdiff.priors.preconditioning import EDM, FlowMatching, VariancePreserving
from invdiff.training.objective import NoiseLevels, Noisy, Objective
from invdiff.training.slice_set import SliceSet

VP = tuple((0.01 * 1.5**i) for i in range(12))


def network(x, time):
    return torch.tanh(1.3 * x + 0.1 * time.reshape(-1, 1, 1, 1))


def textbook(name, x0, n, sigma):
    """Return the square error of what each network is asked for, from x0 and noise n."""
    x = x0 + sigma * n
    if name == "flow":
        t = sigma / (1 + sigma)
        return network((1 - t) * x0 + t * n, 1000 * t.flatten()) - (n - x0)
    if name == "edm":
        root = (sigma**2 + 0.25).sqrt()
        target = (x0 - 0.25 / root**2 * x) / (0.5 * sigma / root)
        return network(x / root, sigma.flatten().log() / 4) - target
    process = VariancePreserving(VP, name)
    alpha = (1 + sigma**2).rsqrt()
    output = network(alpha * x, process.time(sigma.flatten()))
    return (
        output - {"epsilon": n, "sample": x0, "v_prediction": alpha * n - alpha * sigma * x0}[name]
    )


@pytest.mark.parametrize("name", ["flow", "edm", "epsilon", "v_prediction", "sample"])
def test_the_loss_is_the_square_error_of_the_output(name, generator):
    kinds = {"flow": FlowMatching(), "edm": EDM(0.5)}
    objective = Objective(kinds.get(name) or VariancePreserving(VP, name), NoiseLevels(-1.0, 1.0))
    x0 = torch.randn(4, 1, 8, 8, generator=generator, dtype=torch.float64)
    noisy = Noisy(*(t.double() for t in objective.draw(x0, generator)))
    expected = textbook(name, x0, (noisy.x - x0) / noisy.sigma, noisy.sigma)
    torch.testing.assert_close(
        objective.losses(network, x0, noisy), (expected**2).flatten(1).mean(1)
    )


def test_slices_know_their_range_and_their_people():
    values = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)
    slices = SliceSet(values, ("a", "b"), torch.tensor([0, 1]), ("T1", "T2"))
    assert slices.images()[:, 0, 0, 0].tolist() == [-1, 1]
    assert slices.subset([1]).subjects == ("b",)
    with pytest.raises(ValueError, match="2 slices, but 1 subjects"):
        SliceSet(values, ("a",))
    with pytest.raises(ValueError, match="label"):
        SliceSet(values, ("a", "b"), torch.tensor([0, 2]), ("T1", "T2"))


@pytest.mark.parametrize("values", [
    torch.zeros(2, 1, 4, 4, dtype=torch.int16), torch.full((2, 1, 4, 4), float("nan")),
    torch.zeros(2, 1, 4, 4, dtype=torch.complex64),
])  # fmt: skip
def test_slices_are_bytes_or_finite_numbers(values):
    with pytest.raises(ValueError, match="uint8 or finite numbers, got"):
        SliceSet(values, ("a", "b"))
