"""Integrals, densities, quantiles and orders that facts are compared with."""

from __future__ import annotations

import pytest
import torch

from invdiff.priors import GaussianPrior
from invdiff.theory.chapter.laws import gaussian, line, points, two_modes
from invdiff.theory.chapter.orders import fitted_order, order_reading
from invdiff.theory.chapter.quadrature import (
    exact_flow,
    log_normal,
    normal_nodes,
    quantile,
    share_below,
)


def test_nodes_integrate_the_moments_of_a_normal() -> None:
    nodes, weights = normal_nodes(20)
    moments = torch.stack([(weights * nodes**power).sum() for power in range(7)])
    expected = torch.tensor([1.0, 0, 1, 0, 3, 0, 15], dtype=torch.float64)
    torch.testing.assert_close(moments, expected, atol=1e-10, rtol=0)


def test_log_normal_is_that_of_the_prior() -> None:
    x = line(-3, 3, 31)
    torch.testing.assert_close(gaussian(0.4, 0.25).log_prob(x), log_normal(x, 0.4, 0.25).squeeze(1))


def test_density_integrates_to_1() -> None:
    x = points(-8, 8, 401)
    density = log_normal(x, torch.tensor([[0.0], [1.0]]), 0.5).exp()
    torch.testing.assert_close(torch.trapezoid(density, x), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("sigma", [0.0, 0.7])
def test_quantile_is_the_inverse_of_the_share_below(sigma) -> None:
    x = line(-2, 2, 9)
    shares = share_below(two_modes(), x, sigma)
    assert shares.shape == x.shape
    torch.testing.assert_close(quantile(two_modes(), shares, sigma), x)


def test_share_below_is_the_integral_of_the_density() -> None:
    x = points(-9, 0.5, 4001)
    exact = torch.trapezoid(two_modes().log_prob(x.unsqueeze(1), 0.3).exp(), x)
    assert float(share_below(two_modes(), x[-1:], 0.3)) == pytest.approx(float(exact), abs=1e-6)


def test_flow_keeps_the_order_and_is_linear_for_one_mode() -> None:
    prior, x = GaussianPrior(torch.tensor([0.3], dtype=torch.float64), 0.25), line(-3, 3, 7)
    ratio = ((0.25 + 0.5**2) / (0.25 + 2.0**2)) ** 0.5
    torch.testing.assert_close(exact_flow(prior, x, 2.0, 0.5), 0.3 + ratio * (x - 0.3))
    assert (exact_flow(two_modes(), x, 2.0, 0.5).diff(dim=0) > 0).all()


def test_fitted_order_is_the_power() -> None:
    steps = [0.1, 0.2, 0.4]
    assert fitted_order(steps, [7 * h**3 for h in steps]) == pytest.approx(3)


@pytest.mark.parametrize(("order", "holds"), [(2, True), (1, False)])
def test_reading_compares_the_order_of_the_first_method(order, holds) -> None:
    counts = (10, 20, 40)
    lines = {"first": ([n**-2.0 for n in counts], float(order)), "other": ([1.0] * 3, 0.0)}
    assert order_reading(lines, counts).holds is holds
