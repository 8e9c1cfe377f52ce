"""Averages with power-function profiles: closed forms, snapshots, and lengths made afterwards."""

import copy
import math

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from invdiff.training.power_average import PowerAverages
from invdiff.training.power_profile import (
    PowerProfile,
    inner_products,
    power_exponent,
    synthesis_coefficients,
)
from invdiff.training.power_snapshots import (
    averaged_weights,
    read_snapshots,
    scores_of_lengths,
    write_snapshots,
)

NUM_STEPS, EVERY = 800, 50
# measured: 7e-5 and 2e-4 of the way from the last weights to the average
THIRD_LENGTH_ERROR = 1e-3


class Point(nn.Module):
    """Numbers with an entry of each kind that is not a parameter."""

    def __init__(self, size=6, dtype=torch.float64):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, dtype=dtype))
        self.register_buffer("running", torch.zeros(2, dtype=dtype))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def put(self, value, step):
        self.weight.copy_(torch.as_tensor(value))
        self.running.fill_(float(step))
        self.count.fill_(step)


def travelled(path, lengths, num_steps, dtype=torch.float64):
    network = Point(dtype=dtype)
    averages = PowerAverages(network, lengths)
    for step in range(1, num_steps + 1):
        network.put(path(step), step)
        averages.update(step)
    return averages


def random_path(generator):
    steps = torch.randn(NUM_STEPS, 6, dtype=torch.float64, generator=generator).cumsum(0)
    return lambda step: 10 + 0.1 * steps[step - 1]


@pytest.fixture
def kept(tmp_path, generator):
    """Snapshots of two lengths along a random walk, and a third length tracked beside them."""
    path = random_path(generator)
    network = Point(dtype=torch.float64)
    averages, direct = PowerAverages(network), PowerAverages(network, (0.07, 0.15))
    at_steps = {}
    for step in range(1, NUM_STEPS + 1):
        network.put(path(step), step)
        averages.update(step)
        direct.update(step)
        if step % EVERY == 0:
            write_snapshots(tmp_path, averages, dtype=torch.float32)
            at_steps[step] = {n: averages.weights(n) for n in averages.lengths}
    return read_snapshots(tmp_path), at_steps, direct, network


@pytest.mark.parametrize("length", [0.01, 0.05, 0.1, 0.2, 0.28])
def test_exponent_gives_the_standard_deviation_of_the_profile(length):
    gamma = power_exponent(length)
    tau = torch.linspace(0, 1, 200001, dtype=torch.float64)
    density = (gamma + 1) * tau**gamma
    mean = torch.trapezoid(density * tau, tau)
    variance = torch.trapezoid(density * (tau - mean) ** 2, tau)
    assert float(variance.sqrt()) == pytest.approx(length, rel=1e-5)


def test_published_lengths_have_the_published_exponents():
    assert power_exponent(0.05) == pytest.approx(16.97, abs=0.01)
    assert power_exponent(0.10) == pytest.approx(6.94, abs=0.01)


@pytest.mark.parametrize("length", [0.0, -0.1, 0.289, math.nan])
def test_lengths_beyond_the_plain_mean_are_refused(length):
    with pytest.raises(ValueError, match=r"expected 0 < length < 0\.289"):
        power_exponent(length)


@pytest.mark.parametrize("times", [(3.0, 3.0), (2.0, 5.0), (5.0, 2.0)])
def test_inner_products_are_the_integrals(times):
    profiles = [PowerProfile(0.1, times[0]), PowerProfile(0.2, times[1])]
    tau = torch.linspace(0, min(times), 200001, dtype=torch.float64)
    p, q = (
        (power_exponent(n) + 1) * tau ** power_exponent(n) / t ** (power_exponent(n) + 1)
        for n, t in profiles
    )
    expected = float(torch.trapezoid(p * q, tau))
    assert float(inner_products(profiles[:1], profiles[1:])) == pytest.approx(expected, rel=1e-6)


def test_inner_products_are_finite_for_long_trainings():
    profiles = [PowerProfile(n, t) for n in (0.01, 0.2) for t in (1, 10**7)]
    assert inner_products(profiles, profiles).isfinite().all()


@pytest.mark.parametrize("power", [0, 1, 2])
def test_averages_are_the_weighted_sums_of_the_path(power):
    averages = travelled(lambda step: float(step) ** power, (0.05, 0.2), 40)
    steps = torch.arange(0, 41, dtype=torch.float64)
    for length in averages.lengths:
        weights = ((steps / 40) ** (power_exponent(length) + 1)).diff()
        expected = (weights * steps[1:] ** power).sum()
        torch.testing.assert_close(averages.weights(length)["weight"], expected.expand(6))


@pytest.mark.parametrize("power", [1, 2])
def test_averages_of_long_power_paths_tend_to_the_closed_form(power):
    averages = travelled(lambda step: (step / 1000) ** power, (0.1,), 1000)
    gamma = power_exponent(0.1)
    # the sum is a right Riemann sum: its error is about power / (2 * 1000)
    closed = (gamma + 1) / (gamma + 1 + power)
    assert float(averages.weights(0.1)["weight"][0]) == pytest.approx(closed, abs=1.1e-3)


def test_steps_left_out_count_for_the_weights_after_them():
    network = Point()
    sparse, dense = PowerAverages(network, (0.1,)), PowerAverages(network, (0.1,))
    for step in range(1, 31):
        network.put(float(-(-step // 5)), step)
        dense.update(step)
        if step % 5 == 0:
            sparse.update(step)
    torch.testing.assert_close(sparse.weights(0.1)["weight"], dense.weights(0.1)["weight"])


def test_first_update_forgets_the_initial_weights():
    network = Point()
    network.put(7.0, 0)
    averages = PowerAverages(network)
    network.put(3.0, 1)
    averages.update(1)
    assert torch.equal(averages.weights(0.05)["weight"], network.weight.detach())


def test_updates_ask_nothing_of_the_device():
    # tensors without values: whatever reads one raises
    with FakeTensorMode():
        network = Point()
        averages = PowerAverages(network)
        for step in (1, 2, 5):
            averages.update(step)
    assert averages.step == 5


def test_floating_buffers_are_averaged_and_others_are_the_last():
    found = travelled(float, (0.1,), 20).weights(0.1)
    torch.testing.assert_close(found["running"], found["weight"][:2])
    assert int(found["count"]) == 20


def test_low_precision_networks_are_averaged_in_float32():
    averages = travelled(lambda step: 1 + 0.01 * step, (0.1,), 200, torch.bfloat16)
    assert averages.state()["0.weight"].dtype == torch.float32
    assert averages.weights(0.1)["weight"].dtype == torch.bfloat16


def test_restored_averages_go_on_to_the_same_bits(generator):
    path = random_path(generator)
    network = Point()
    whole, halted = PowerAverages(network), PowerAverages(network)
    for step in range(1, 41):
        network.put(path(step), step)
        whole.update(step)
        if step <= 20:
            halted.update(step)
        if step == 20:
            state = copy.deepcopy(halted.state())
            halted = PowerAverages(network)
            halted.restore(state)
        if step > 20:
            halted.update(step)
    assert all(torch.equal(v, halted.state()[k]) for k, v in whole.state().items())
    assert halted.step == 40


def test_states_of_others_are_refused():
    averages = PowerAverages(Point())
    with pytest.raises(ValueError, match="expected lengths"):
        averages.restore(PowerAverages(Point(), (0.05, 0.2)).state())
    with pytest.raises(ValueError, match="of shape"):
        averages.restore(PowerAverages(Point(5)).state())


@pytest.mark.parametrize("lengths", [(), (0.1, 0.1), (0.1, 0.5)])
def test_bad_lengths_are_refused(lengths):
    with pytest.raises(ValueError, match="expected"):
        PowerAverages(Point(), lengths)


@pytest.mark.parametrize("step", [0, 3])
def test_steps_must_grow(step):
    averages = travelled(float, (0.1,), 3)
    with pytest.raises(ValueError, match=f"after 3, got {step}"):
        averages.update(step)


def test_untracked_lengths_have_no_weights():
    with pytest.raises(ValueError, match=r"expected one of .* got 0\.2"):
        PowerAverages(Point()).weights(0.2)


def test_tracked_lengths_are_found_again_at_each_snapshot(kept):
    snapshots, at_steps, _, _ = kept
    for step in (EVERY, NUM_STEPS // 2, NUM_STEPS):
        for length in (0.05, 0.1):
            found = averaged_weights(snapshots, length, step)["weight"]
            expected = at_steps[step][length]["weight"].float()
            torch.testing.assert_close(found, expected, atol=0, rtol=1e-6)


@pytest.mark.parametrize("length", [0.07, 0.15])
def test_third_lengths_are_those_tracked_beside(kept, length):
    snapshots, _, direct, network = kept
    tracked = direct.weights(length)["weight"]
    error = (averaged_weights(snapshots, length)["weight"] - tracked).norm()
    assert float(error / (tracked - network.weight.detach()).norm()) < THIRD_LENGTH_ERROR


def test_other_entries_are_those_of_the_last_snapshot(kept):
    found = averaged_weights(kept[0], 0.07)
    assert int(found["count"]) == NUM_STEPS
    assert found["count"].dtype == torch.int64


def test_coefficients_leave_constant_weights_as_they_are():
    profiles = [PowerProfile(n, t) for t in range(50, 801, 50) for n in (0.05, 0.1)]
    for length, step in ((0.02, 800), (0.07, 425), (0.25, 800)):
        total = synthesis_coefficients(profiles, PowerProfile(length, step)).sum()
        assert float(total) == pytest.approx(1, abs=1e-12)


def test_coefficients_cannot_be_bettered():
    profiles = [PowerProfile(n, t) for t in (100, 200) for n in (0.05, 0.1)]
    wanted = PowerProfile(0.07, 170)
    gram, target = inner_products(profiles, profiles), inner_products(profiles, [wanted])[:, 0]
    best = synthesis_coefficients(profiles, wanted)
    gradient = gram @ best - target
    # at the constrained minimum the gradient is along the constraint
    torch.testing.assert_close(gradient, gradient.mean().expand(4), atol=1e-12, rtol=0)


def test_curve_has_its_best_point_where_the_score_is_least(kept):
    snapshots, _, direct, _ = kept
    goal = direct.weights(0.07)["weight"]
    lengths = (0.03, 0.05, 0.07, 0.1, 0.15)
    curve = scores_of_lengths(snapshots, lengths, lambda w: float((w["weight"] - goal).norm()))
    assert tuple(curve) == lengths
    assert min(curve, key=curve.__getitem__) == 0.07


def test_half_precision_files_hold_three_digits(tmp_path):
    averages = travelled(lambda step: 1 + 0.01 * step, (0.1,), 50)
    (snapshot,) = write_snapshots(tmp_path, averages)
    found = averaged_weights([snapshot], 0.1)["weight"]
    torch.testing.assert_close(found.double(), averages.weights(0.1)["weight"], rtol=5e-4, atol=0)
    assert snapshot.profile == PowerProfile(0.1, 50)


def test_weights_too_large_for_the_files_are_refused(tmp_path):
    averages = travelled(lambda _: 1e6, (0.1,), 2)
    with pytest.raises(ValueError, match="weight is not finite in"):
        write_snapshots(tmp_path, averages)
    assert not list(tmp_path.iterdir())


def test_snapshots_of_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match="after an update"):
        write_snapshots(tmp_path, PowerAverages(Point()))
    with pytest.raises(ValueError, match="no snapshots"):
        read_snapshots(tmp_path)


def test_damaged_snapshots_are_refused(tmp_path):
    (tmp_path / "average-1-0.1.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not a readable snapshot"):
        read_snapshots(tmp_path)


@pytest.mark.parametrize("step", [0, -3, NUM_STEPS + 1])
def test_steps_without_snapshots_are_refused(kept, step):
    with pytest.raises(ValueError, match=rf"expected a step in \(0, {NUM_STEPS}\], got {step}"):
        averaged_weights(kept[0], 0.07, step)


def test_snapshots_of_different_networks_are_refused(tmp_path):
    network = nn.Linear(2, 2)
    other = PowerAverages(network, (0.1,))
    other.update(7)
    mixed = [
        *write_snapshots(tmp_path, travelled(float, (0.1,), 5)),
        *write_snapshots(tmp_path, other),
    ]
    with pytest.raises(ValueError, match="different networks"):
        averaged_weights(mixed, 0.2)
