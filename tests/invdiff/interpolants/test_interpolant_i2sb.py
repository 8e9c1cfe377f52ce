from __future__ import annotations

import pytest
import torch

from invdiff.interpolants.bridge_process import predict_from_denoiser
from invdiff.interpolants.bridge_sampler import bridge_kernel, sample_bridge
from invdiff.interpolants.gammas import NoGamma
from invdiff.interpolants.i2sb import (
    SymmetricBetas,
    drift_from_output,
    i2sb_output,
    i2sb_predict,
)
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.priors.gaussian import GaussianPrior
from tests.invdiff.interpolants.impulse_law import GaussianPair, impulse_law

EXACT = {"rtol": 1e-10, "atol": 1e-10}
X0 = torch.tensor([0.7, -0.2], dtype=torch.float64)
SCHEDULE = SymmetricBetas(num_steps=100, lowest=1e-3, highest=2e-2)


def test_the_betas_are_symmetric_and_linear_in_their_roots():
    betas = SymmetricBetas().betas()
    assert betas.shape == (1000,)
    torch.testing.assert_close(betas, betas.flip(0), **EXACT)
    gaps = betas[:500].sqrt().diff()
    torch.testing.assert_close(gaps, gaps[:1].expand(499), rtol=1e-8, atol=0)
    assert betas[0] == pytest.approx(1e-4, rel=1e-12)
    # the last of the first half: 499 of 999 gaps from sqrt(1e-4) to sqrt(3e-4)
    middle = 1e-2 + 499 / 999 * (3e-4**0.5 - 1e-2)
    assert betas[499] == pytest.approx(middle**2, rel=1e-12)


def test_the_marginal_of_the_paper_is_the_linear_interpolant():
    # in the paper's time: clean = its x_0, degraded = its x_1
    clean_square = SCHEDULE.from_clean().flip(0)  # by our times, which run to the clean image
    degraded_square = SCHEDULE.total() - clean_square
    total = clean_square + degraded_square
    c = SCHEDULE.interpolant().at(SCHEDULE.times())
    torch.testing.assert_close(c.beta, degraded_square / total, **EXACT)
    torch.testing.assert_close(c.alpha, clean_square / total, **EXACT)
    torch.testing.assert_close(c.gamma**2, clean_square * degraded_square / total, **EXACT)


def test_time_runs_from_the_degraded_to_the_clean_image():
    interpolant, times = SCHEDULE.interpolant(), SCHEDULE.times()
    assert times[0] == 0
    assert times[-1] == 1
    assert bool((times.diff() > 0).all())
    x0, x1 = torch.zeros(1, 2), torch.ones(1, 2)
    torch.testing.assert_close(interpolant.point(times[0], x0, x1, x1), x0)
    torch.testing.assert_close(interpolant.point(times[-1], x0, x1, x0), x1)


@pytest.mark.parametrize(("far", "near"), [(100, 99), (80, 40), (7, 1), (3, 0)])
def test_the_step_is_the_posterior_of_the_paper(far, near):
    squares, times = SCHEDULE.from_clean(), SCHEDULE.times()
    previous, delta = squares[near], squares[far] - squares[near]
    kernel = bridge_kernel(SCHEDULE.interpolant(), times[100 - far], times[100 - near])
    torch.testing.assert_close(kernel.target, delta / (previous + delta), **EXACT)
    torch.testing.assert_close(kernel.current, previous / (previous + delta), **EXACT)
    torch.testing.assert_close(kernel.std**2, previous * delta / (previous + delta), **EXACT)
    torch.testing.assert_close(kernel.base, torch.zeros_like(kernel.base), **EXACT)


def test_the_output_of_the_network_converts_to_the_clean_image_and_the_drift():
    total, t = SCHEDULE.total(), torch.tensor([0.2, 0.7], dtype=torch.float64)
    x = torch.tensor([[0.3, 1.0], [2.0, -1.0]], dtype=torch.float64)
    x1 = torch.tensor([[1.0, 0.1], [0.4, -0.4]], dtype=torch.float64)
    output = i2sb_output(x, x1, t, total)
    # sigma_n^2 of the paper at our t
    torch.testing.assert_close(output[0], (x - x1)[0] / (0.8 * total) ** 0.5, **EXACT)
    torch.testing.assert_close(i2sb_predict(lambda x, t: output, total)(x, t), x1, **EXACT)
    torch.testing.assert_close(
        drift_from_output(output, t, total), (x1 - x) / (1 - t).unsqueeze(1), **EXACT
    )


def law_error(num_steps):
    """Of the covariance given the degraded image, through the network's own output."""
    schedule = SymmetricBetas(num_steps, lowest=0.1 / num_steps, highest=2 / num_steps)
    interpolant, total, times = schedule.interpolant(), schedule.total(), schedule.times()
    mean, covariance = GaussianPair().given(X0)
    denoiser = GaussianPrior(mean, covariance)
    predict = predict_from_denoiser(denoiser, interpolant, X0, sigma_max=1e9)

    def network(x, t):
        return i2sb_output(x, predict(x, t), t, total)

    def run(x, noise):
        return sample_bridge(i2sb_predict(network, total), interpolant, x, times, noise=noise)

    got_mean, got = impulse_law(run, X0, num_steps)
    torch.testing.assert_close(got_mean, mean, rtol=0, atol=1e-8)
    return float((got - covariance).norm() / covariance.norm())


def test_samples_given_the_degraded_image_have_the_law_of_the_pair():
    coarse, fine = law_error(50), law_error(200)
    assert fine < 0.33 * coarse
    assert fine < 0.035


def test_ot_ode_is_the_euler_method_of_the_path_of_the_means():
    interpolant, times = SCHEDULE.interpolant(noisy=False), SCHEDULE.times()
    assert isinstance(interpolant.gamma, NoGamma)
    pair = GaussianPair()

    def predict(x, t):  # the optimal one for pairs on a line: exact affine regression
        c = interpolant.at(t)
        both = c.alpha * c.beta * (pair.cross + pair.cross.T)
        xx = c.alpha**2 * pair.cov0 + c.beta**2 * pair.cov1 + both
        gain = (c.alpha * pair.cross.T + c.beta * pair.cov1) @ torch.linalg.inv(xx)
        return pair.mean1 + (x - c.alpha * pair.mean0 - c.beta * pair.mean1) @ gain.T

    x0 = torch.stack([X0, -X0])
    x = sample_bridge(predict, interpolant, x0, times)
    euler = integrate_ode(lambda x, t: (predict(x, t) - x) / (1 - t), x0, times, method="euler")
    torch.testing.assert_close(x, euler, **EXACT)


def test_ot_ode_moves_the_law_of_the_degraded_onto_that_of_the_clean_images():
    pair, interpolant = GaussianPair(), SCHEDULE.interpolant(noisy=False)

    def slope(t):
        c = interpolant.at(t)
        both = c.alpha * c.beta * (pair.cross + pair.cross.T)
        xx = c.alpha**2 * pair.cov0 + c.beta**2 * pair.cov1 + both
        return (c.alpha * pair.cross.T + c.beta * pair.cov1) @ torch.linalg.inv(xx)

    def run(num_steps):
        # the linear part alone: the map of x0 - mean0 to x1 - mean1
        x = torch.eye(2, dtype=torch.float64)
        x = sample_bridge(
            lambda x, t: x @ slope(t).T, interpolant, x, time_grid(num_steps, 0.0, 1.0)
        )
        return float((x.T @ pair.cov0 @ x - pair.cov1).norm())

    assert run(400) < 0.28 * run(100)
    assert run(400) < 0.01


@pytest.mark.parametrize("bad", [{"num_steps": 7}, {"lowest": 0.0}, {"highest": float("inf")}])
def test_bad_schedules_raise(bad):
    with pytest.raises(ValueError, match="SymmetricBetas"):
        SymmetricBetas(**bad)
