import math

import pytest
import torch

from invdiff.interpolants.gammas import NoGamma, QuadraticGamma
from invdiff.interpolants.interpolant import Mirror, OneSided, TwoSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.networks import (
    FieldMLP,
    FieldUNet,
    time_features,
    told,
)
from invdiff.interpolants.paths import TrigonometricPath
from invdiff.interpolants.process import FieldProcess
from invdiff.interpolants.skip import GaussianSkip
from invdiff.priors.gaussian import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.training import drawn_network

BASE_STD, TARGET_STD = 0.7, 2.0
NETWORKS = {
    "mlp": (lambda: FieldMLP(3, 16, 2), (3,), None),
    "mlp, told": (lambda: FieldMLP(3, 16, 2, condition_dim=2), (3,), (2,)),
    "unet": (lambda: FieldUNet(2, widths=(16, 32)), (2, 8, 12), None),
    "unet, told": (lambda: FieldUNet(1, 3, patch=1, widths=(16, 32)), (1, 6, 4), (3, 6, 4)),
}


def normal(*shape, label="x", dtype=torch.float32):
    return torch.randn(shape, generator=derive_generator(0, label), dtype=dtype)


def awake(network):
    """Draw the layers that start at zero too."""
    generator = derive_generator(1, "weights")
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return network.eval()


@pytest.fixture(params=list(NETWORKS))
def case(request):
    build, shape, told_shape = NETWORKS[request.param]
    network = awake(drawn_network(build, generator=derive_generator(0, "network")))
    condition = None if told_shape is None else normal(4, *told_shape, label="condition")
    return network, normal(4, *shape), condition


def call(network, x, t, condition):
    with torch.no_grad():
        return told(network, condition)(x, t)


def test_the_field_has_the_shape_of_x(case):
    network, x, condition = case
    assert call(network, x, torch.tensor(0.3), condition).shape == x.shape


def test_one_time_is_that_time_for_all(case):
    network, x, condition = case
    one = call(network, x, torch.tensor(0.3, dtype=torch.float64), condition)
    torch.testing.assert_close(call(network, x, torch.full((4,), 0.3), condition), one)


def test_members_of_a_batch_do_not_see_each_other(case):
    network, x, condition = case
    t = torch.tensor([0.0, 0.2, 0.7, 1.0])
    whole = call(network, x, t, condition)
    for i in range(4):
        part = None if condition is None else condition[i : i + 1]
        alone = call(network, x[i : i + 1], t[i : i + 1], part)
        torch.testing.assert_close(alone, whole[i : i + 1], rtol=1e-4, atol=1e-5)


def test_time_and_condition_matter(case):
    network, x, condition = case
    early, late = (call(network, x, torch.tensor(t), condition) for t in (0.1, 0.9))
    assert (early - late).abs().max() > 1e-3
    if condition is not None:
        assert (call(network, x, torch.tensor(0.1), -condition) - early).abs().max() > 1e-3


def test_half_precision_gives_half_precision(case):
    network, x, condition = case
    exact = call(network, x, torch.tensor(0.4), condition)
    half = network.to(torch.bfloat16)
    given = None if condition is None else condition.bfloat16()
    found = call(half, x.bfloat16(), torch.tensor(0.4), given)
    assert found.dtype == torch.bfloat16
    # eight bits through a few layers
    assert (found.float() - exact).norm() < 0.1 * exact.norm()


def test_a_missing_or_unexpected_condition_is_refused(case):
    network, x, condition = case
    with pytest.raises(ValueError, match=r"expected .* condition"):
        network(x, torch.tensor(0.5), x[..., :1] if condition is None else None)


@pytest.mark.parametrize(("patch", "widths", "side"), [(2, (16, 32), 6), (4, (16,), 6)])
def test_images_that_cannot_be_halved_are_refused(patch, widths, side):
    network = FieldUNet(patch=patch, widths=widths)
    with pytest.raises(ValueError, match=rf"\* n.*got \(1, {side}, 8\)$"):
        network(normal(2, 1, side, 8), torch.tensor(0.5))
    with pytest.raises(ValueError, match="expected images"):
        network(normal(2, 3, 8, 8), torch.tensor(0.5))


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: FieldMLP(0), "dim, width, depth"),
        (lambda: FieldMLP(2, frequencies=-1), "frequencies"),
        (lambda: FieldUNet(layers=0), "below 1"),
        (lambda: FieldUNet(widths=()), "below 1"),
        (lambda: FieldUNet(widths=(24,)), "multiples of 16"),
        (lambda: FieldUNet(condition_channels=-1), "below 1"),
    ],
)
def test_sizes_out_of_range_are_refused(build, complaint):
    with pytest.raises(ValueError, match=complaint):
        build()


def test_the_wrong_number_of_entries_is_refused():
    with pytest.raises(ValueError, match=r"expected x with 3 .* got 2"):
        FieldMLP(3)(normal(4, 2), torch.tensor(0.5))


def test_time_features_resolve_both_ends():
    t = torch.tensor([0.0, 0.01, 0.99, 1.0], dtype=torch.float64)
    features = time_features(t, 2)
    assert features.shape == (4, 7)
    assert features.abs().max() < 2
    steps = features.diff(dim=0).norm(dim=-1)
    # a hundredth next to an end tells more than a tenth in the middle
    middle = time_features(torch.tensor([0.5, 0.6]), 0).diff(dim=0).norm()
    assert min(steps[0], steps[2]) > middle


def test_the_generator_decides_the_weights_and_nothing_else_is_drawn():
    before = torch.random.get_rng_state()
    first, same = (drawn_network(lambda: FieldMLP(2), generator=derive_generator(0)) for _ in "ab")
    other = drawn_network(lambda: FieldMLP(2), generator=derive_generator(1))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [network.layers[0].weight for network in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_an_untrained_perceptron_is_zero():
    assert not FieldMLP(3)(normal(5, 3), torch.tensor(0.2)).any()


def gaussian(std):
    covariance = std**2 * torch.eye(3, dtype=torch.float64)[None]
    one = torch.ones(1, dtype=torch.float64)
    return GaussianMixturePrior(one, torch.zeros(1, 3, dtype=torch.float64), covariance)


@pytest.mark.parametrize(
    "interpolant",
    [OneSided(), OneSided(TrigonometricPath()), TwoSided(), TwoSided(gamma=QuadraticGamma()),
     Mirror(QuadraticGamma())],
)  # fmt: skip
@pytest.mark.parametrize("objective", ["b", "v", "s", "eta"])
def test_the_skip_is_the_field_of_normal_ends(interpolant, objective):
    base = gaussian(BASE_STD) if interpolant.has_x0 else None
    exact = MixtureProcess(interpolant, gaussian(TARGET_STD), base)
    network = FieldMLP(3).double()
    field = GaussianSkip(network, interpolant, objective, base_std=BASE_STD, target_std=TARGET_STD)
    x, t = normal(5, 3, dtype=torch.float64), torch.linspace(0.05, 0.95, 5, dtype=torch.float64)
    b, s = exact.velocity(x, t), exact.score(x, t)
    c = interpolant.at(t).expanded(x)
    expected = {"b": b, "s": s, "eta": -c.gamma * s, "v": b + c.gamma_product * s}
    torch.testing.assert_close(field(x, t), expected[objective])


@pytest.mark.parametrize("objective", ["b", "v", "s", "eta"])
@pytest.mark.parametrize("interpolant", [OneSided(), TwoSided(), TwoSided(gamma=NoGamma())])
def test_the_skip_is_finite_at_both_ends(interpolant, objective):
    field = GaussianSkip(awake(FieldMLP(3)), interpolant, objective, target_std=TARGET_STD)
    for t in (0.0, 1.0):
        assert field(normal(5, 3), torch.tensor(t)).isfinite().all()


def test_the_skip_passes_the_condition_and_scales_what_the_network_sees():
    seen = {}

    class Spy(torch.nn.Module):
        def forward(self, x, t, condition):
            seen.update(x=x, condition=condition)
            return x

    condition = normal(4000, 2, label="condition")
    field = GaussianSkip(Spy(), OneSided(), "b", target_std=TARGET_STD)
    t = torch.tensor(0.8)
    x = 0.2 * normal(4000, 3, label="noise") + 0.8 * TARGET_STD * normal(4000, 3)
    field(x, t, condition)
    assert seen["condition"] is condition
    assert float(seen["x"].std()) == pytest.approx(1, abs=4 / math.sqrt(2 * 12000))


@pytest.mark.parametrize("std", [0.0, -1.0, math.inf, math.nan])
def test_spreads_out_of_range_are_refused(std):
    with pytest.raises(ValueError, match="target_std > 0"):
        GaussianSkip(FieldMLP(2), OneSided(), "b", target_std=std)


def test_an_unknown_objective_is_refused():
    with pytest.raises(ValueError, match="expected one of"):
        GaussianSkip(FieldMLP(2), OneSided(), "x")


def test_fields_of_networks_make_a_process():
    network = awake(FieldMLP(2))
    process = FieldProcess(OneSided(), b=told(network, None))
    x, t = normal(5, 2), torch.tensor(0.4)
    # for x_t = (1 - t) z + t x1: eta = x - t b
    torch.testing.assert_close(process.noise(x, t), x - 0.4 * network(x, t))
