from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from invdiff.interpolants.bridge_process import predict_from_denoiser
from invdiff.interpolants.bridge_sampler import bridge_kernel, sample_bridge
from invdiff.interpolants.brownian_bridge import bbdm, bbdm_output, bbdm_times, bbdm_variance
from invdiff.interpolants.i2sb import SymmetricBetas
from invdiff.priors.gaussian import GaussianPrior
from tests.invdiff.interpolants.impulse_law import GaussianPair, impulse_law

EXACT = {"rtol": 1e-10, "atol": 1e-10}
SCALE = 0.7
X0 = torch.tensor([0.7, -0.2], dtype=torch.float64)


def published(m, m_next):
    """Variances and step variance of the published sampler, m > m_next."""
    v, v_next = (2 * SCALE * u * (1 - u) for u in (m, m_next))
    step = (v - v_next * (1 - m) ** 2 / (1 - m_next) ** 2) * v_next / v
    return v, v_next, step


def test_the_kernel_is_the_interpolant_with_the_times_reversed():
    m = torch.linspace(0, 1, 11, dtype=torch.float64)
    c = bbdm(SCALE).at(1 - m)
    torch.testing.assert_close(c.beta, 1 - m, **EXACT)  # of the clean image
    torch.testing.assert_close(c.alpha, m, **EXACT)  # of the degraded one
    torch.testing.assert_close(c.gamma**2, 2 * SCALE * m * (1 - m), **EXACT)


def test_the_published_reverse_step_at_full_noise_is_the_kernel():
    for start, end in pairwise(bbdm_times(12)[1:-1]):
        m, m_next = 1 - start, 1 - end
        v, v_next, step = published(m, m_next)
        kernel = bridge_kernel(bbdm(SCALE), start, end)
        # mean (1 - m') x1 + m' x0 + ((v' - step) / v)^(1/2) (x - (1 - m) x1 - m x0)
        current = ((v_next - step) / v).sqrt()
        torch.testing.assert_close(kernel.current, current, **EXACT)
        torch.testing.assert_close(kernel.target, 1 - m_next - current * (1 - m), **EXACT)
        torch.testing.assert_close(kernel.base, m_next - current * m, **EXACT)
        torch.testing.assert_close(kernel.std**2, step, **EXACT)
        torch.testing.assert_close(bbdm_variance(start, end, SCALE), step, **EXACT)


@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_below_full_noise_the_published_step_loses_variance_and_ours_does_not(eta):
    start, end = bbdm_times(12)[5], bbdm_times(12)[6]
    v, v_next, step = published(1 - start, 1 - end)
    kernel = bridge_kernel(bbdm(SCALE), start, end, eta)
    torch.testing.assert_close(kernel.current**2 * v + kernel.std**2, v_next, **EXACT)
    theirs = (v_next - step) + eta**2 * step
    assert theirs < 0.9 * v_next


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_steps_compose_to_the_marginal(eta):
    times = bbdm_times(40)
    base, target, variance = torch.ones(()), torch.zeros(()), torch.zeros(())
    for start, end in pairwise(times):
        k = bridge_kernel(bbdm(SCALE), start, end, eta)
        base, target = k.base + k.current * base, k.target + k.current * target
        variance = k.current**2 * variance + k.std**2
        torch.testing.assert_close(base, 1 - end, **EXACT)
        torch.testing.assert_close(target, end, **EXACT)
        torch.testing.assert_close(variance, 2 * SCALE * end * (1 - end), **EXACT)


def test_it_is_i2sb_at_other_times():
    schedule = SymmetricBetas(num_steps=20, lowest=0.01, highest=0.2)
    interpolant = bbdm(schedule.total() / 2)
    for start, end in pairwise(schedule.times()):
        ours = torch.stack(list(bridge_kernel(interpolant, start, end)))
        theirs = torch.stack(list(bridge_kernel(schedule.interpolant(), start, end)))
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_the_published_grid_is_kept_but_for_its_noiseless_start():
    times = bbdm_times()
    m = torch.linspace(0.001, 0.999, 1000, dtype=torch.float64)
    torch.testing.assert_close(times[1:-1], (1 - m).flip(0)[1:], **EXACT)
    assert times[0] == 0
    assert times[-1] == 1


def law_error(eta, num_steps):
    """Of the covariance given the degraded image, through the network's own output."""
    mean, covariance = GaussianPair().given(X0)
    interpolant, times = bbdm(SCALE), bbdm_times(num_steps, 0.1 / num_steps)
    denoiser = GaussianPrior(mean, covariance)
    conditional = predict_from_denoiser(denoiser, interpolant, X0, sigma_max=1e9)

    def predict(x, t):
        return x - bbdm_output(x, conditional(x, t))

    def run(x, noise):
        return sample_bridge(predict, interpolant, x, times, stochasticity=eta, noise=noise)

    got_mean, got = impulse_law(run, X0, num_steps if eta else 1)
    torch.testing.assert_close(got_mean, mean, rtol=0, atol=1e-8)
    return float((got - covariance).norm() / covariance.norm())


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_samples_given_the_degraded_image_have_the_law_of_the_pair(eta):
    coarse, fine = law_error(eta, 75), law_error(eta, 300)
    # equal steps: the error falls as h log(1 / h)
    assert fine < 0.45 * coarse
    assert fine < 0.09


def test_bad_input_raises():
    with pytest.raises(ValueError, match="scale"):
        bbdm(0.0)
    with pytest.raises(ValueError, match="bbdm_times"):
        bbdm_times(1)
    with pytest.raises(ValueError, match="bbdm_times"):
        bbdm_times(10, margin=0.6)
