"""The forward SDEs against what their coefficients say, and the times of the way back."""

import math

import pytest
import torch
from torch import Tensor

from invdiff.graphs.integrator import transition_variance
from invdiff.graphs.reverse_times import reverse_times
from invdiff.graphs.schedules import VE, VP, SubVP
from invdiff.graphs.system import GraphSystem

SCHEDULES = [VP(), VP(0.2, 0.8), VP(0.5, 0.5), SubVP(0.1, 4.0), VE(), VE(0.2, 1.0)]
TIMES = torch.linspace(0.05, 1, 20, dtype=torch.float64)


def derivative(function, t: Tensor, width: float = 1e-5) -> Tensor:
    return (function(t + width) - function(t - width)) / (2 * width)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_scale_and_std_solve_the_moment_equations_of_the_sde(schedule):
    rate = schedule.drift_rate(TIMES)
    slope = derivative(schedule.scale, TIMES)
    torch.testing.assert_close(slope, rate * schedule.scale(TIMES), atol=1e-9, rtol=1e-8)
    slope = derivative(lambda t: schedule.std(t) ** 2, TIMES)
    expected = 2 * rate * schedule.std(TIMES) ** 2 + schedule.diffusion(TIMES) ** 2
    torch.testing.assert_close(slope, expected, atol=1e-9, rtol=1e-8)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_time_of_sigma_inverts_sigma(schedule):
    torch.testing.assert_close(schedule.time_of_sigma(schedule.sigma(TIMES)), TIMES)


def test_published_schedule_ends_far_from_a_standard_normal():
    end = torch.ones((), dtype=torch.float64)
    assert VP().scale(end).item() == pytest.approx(0.7596, abs=5e-5)
    assert VP().std(end).item() == pytest.approx(0.6504, abs=5e-5)


def test_sub_vp_has_the_square_of_the_variance_of_vp():
    torch.testing.assert_close(SubVP(0.1, 4.0).std(TIMES), VP(0.1, 4.0).std(TIMES) ** 2)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_transition_variances_add_up_to_the_marginal(schedule):
    t, before = TIMES, TIMES / 3
    ratio = schedule.scale(t) / schedule.scale(before)
    total = ratio**2 * schedule.std(before) ** 2 + transition_variance(schedule, t, before)
    torch.testing.assert_close(total, schedule.std(t) ** 2)


def test_transition_variances_of_vp_and_ve_are_the_published_ones():
    t, before = TIMES, TIMES / 2
    growth = VP().integral(t) - VP().integral(before)
    torch.testing.assert_close(transition_variance(VP(), t, before), 1 - (-growth).exp())
    difference = VE().std(t) ** 2 - VE().std(before) ** 2
    torch.testing.assert_close(transition_variance(VE(), t, before), difference)


@pytest.mark.parametrize("pair", [(VP(), VP()), (VP(), VE(0.2, 1.0)), (SubVP(), VE())], ids=str)
def test_times_fall_from_1_to_the_end_and_are_even_in_their_quantity(pair):
    system = GraphSystem(*pair)
    quantities = {
        "time": lambda side, t: t,
        "log_snr": lambda side, t: side.sigma(t).log(),
        "rho": lambda side, t: side.sigma(t) ** (1 / 5),
    }
    for spacing, quantity in quantities.items():
        times = reverse_times(system, 12, 1e-3, spacing, rho=5)
        assert times[[0, -1]].tolist() == [1, 1e-3]
        assert bool((times.diff() < 0).all())
        gaps = sum(quantity(side, times) for side in pair).diff()
        torch.testing.assert_close(gaps, gaps.mean().expand(12), atol=1e-9, rtol=1e-9)


def test_karras_spacing_is_that_of_the_paper():
    times = reverse_times(GraphSystem(VE(), VE()), 9, 1e-9, "rho")
    ramp = torch.linspace(1, math.pow(0.1, 1 / 7), 10, dtype=torch.float64)
    torch.testing.assert_close(VE().std(times), ramp**7)


@pytest.mark.parametrize("schedule", [VP, SubVP])
def test_schedules_refuse_rates_out_of_order(schedule):
    for rates in ((0.0, 1.0), (1.0, 0.5), (0.1, math.inf), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="beta_min"):
            schedule(*rates)


def test_ve_refuses_levels_out_of_order():
    for levels in ((0.0, 1.0), (1.0, 1.0), (0.1, math.inf)):
        with pytest.raises(ValueError, match="sigma_min"):
            VE(*levels)
