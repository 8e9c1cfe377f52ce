"""Laws of the pairs that depend on data."""

import itertools

import pytest
import torch

from invdiff.interpolants.couplings import IndependentCoupling, PairedCoupling
from invdiff.interpolants.degraded_coupling import EnlargedCoupling, MaskedCoupling
from invdiff.interpolants.gammas import NoGamma
from invdiff.interpolants.integrators import integrate_ode, time_grid
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.measured_coupling import MeasuredCoupling
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.interpolants.transport_coupling import TransportCoupling
from invdiff.priors import GaussianMixturePrior
from operators import GaussianNoise
from operators.matrix import Matrix

COUNT, DIM = 40_000, 4
# sample covariances of 40000 draws: five standard errors of entries of up to 3
TOLERANCE = 0.1


def random_matrix(*shape, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g, dtype=torch.float64)


ROOT = random_matrix(DIM, DIM, seed=1) / 2
COVARIANCE = ROOT @ ROOT.mT


def images(count, generator):
    return torch.randn(count, DIM, generator=generator, dtype=torch.float64) @ ROOT.mT


def shrink(x):
    return x.unflatten(-1, (DIM // 2, 2)).mean(-1)


def enlarge(x):
    return x.repeat_interleave(2, -1)


SHRINK = torch.kron(torch.eye(DIM // 2), torch.full((2, 2), 0.5)).double()


def joint_covariance(draw):
    both = torch.cat([draw.x0, draw.x1], 1)
    return torch.cov(both.mT)


def test_measured_pairs_have_the_closed_form_law(generator):
    a, sigma = random_matrix(3, DIM, seed=2), 0.7
    operator = Matrix(a)
    reconstruct = random_matrix(DIM, 3, seed=3) / 3
    coupling = MeasuredCoupling(
        images, operator, GaussianNoise(sigma), lambda known: known.y @ reconstruct.mT
    )
    draw = coupling.draw(COUNT, generator)
    known = reconstruct @ a
    noise = sigma**2 * reconstruct @ reconstruct.mT
    expected = torch.cat(
        [
            torch.cat([known @ COVARIANCE @ known.mT + noise, known @ COVARIANCE], 1),
            torch.cat([COVARIANCE @ known.mT, COVARIANCE], 1),
        ]
    )
    torch.testing.assert_close(joint_covariance(draw), expected, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(draw.condition, draw.x0)


def test_measured_pairs_have_fresh_noise():
    still = torch.ones(5, DIM, dtype=torch.float64)
    coupling = MeasuredCoupling(
        lambda count, generator: still[:count],
        Matrix(torch.eye(DIM, dtype=torch.float64)),
        GaussianNoise(0.1),
        lambda known: known.y,
    )
    generator = torch.Generator().manual_seed(3)
    first, second = coupling.draw(5, generator), coupling.draw(5, generator)
    assert not torch.equal(first.x0, second.x0)
    assert torch.equal(coupling.draw(5, torch.Generator().manual_seed(3)).x0, first.x0)


def test_measured_pairs_refuse_another_shape(generator):
    coupling = MeasuredCoupling(
        images, Matrix(random_matrix(3, DIM, seed=2)), GaussianNoise(0.1), lambda known: known.y
    )
    with pytest.raises(ValueError, match=r"shape \(2, 4\), got \(2, 3\)"):
        coupling.draw(2, generator)


def test_enlarged_pairs_have_the_closed_form_law(generator):
    draw = EnlargedCoupling(images, shrink, enlarge, 0.5).draw(COUNT, generator)
    seen = SHRINK @ COVARIANCE @ SHRINK.mT
    expected = torch.cat(
        [
            torch.cat([seen + 0.25 * torch.eye(DIM), SHRINK @ COVARIANCE], 1),
            torch.cat([COVARIANCE @ SHRINK.mT, COVARIANCE], 1),
        ]
    )
    torch.testing.assert_close(joint_covariance(draw), expected, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(draw.condition, enlarge(shrink(draw.x1)))


def test_the_flow_of_enlarged_pairs_ends_in_the_conditional_law(generator):
    coupling = EnlargedCoupling(images, shrink, enlarge, 0.5)
    told = coupling.draw(1, generator).condition[0]
    # x1 given its coarse image: the covariance is singular along what the coarse image tells
    inverse = torch.linalg.pinv(SHRINK @ COVARIANCE @ SHRINK.mT)
    gain = COVARIANCE @ SHRINK.mT @ inverse
    mean, covariance = gain @ told, COVARIANCE - gain @ SHRINK @ COVARIANCE
    floor = 1e-8 * torch.eye(DIM, dtype=torch.float64)

    def gaussian(center, spread):
        return GaussianMixturePrior(torch.ones(1, dtype=torch.float64), center[None], spread[None])

    start = gaussian(told, 0.25 * torch.eye(DIM, dtype=torch.float64))
    process = MixtureProcess(TwoSided(gamma=NoGamma()), gaussian(mean, covariance + floor), start)
    x0 = told + 0.5 * torch.randn(4000, DIM, generator=generator, dtype=torch.float64)
    x1 = integrate_ode(process.velocity, x0, time_grid(400, 0.0, 1 - 1e-4))
    # 4000 samples of variances up to 2
    torch.testing.assert_close(x1.mean(0), mean, rtol=0, atol=0.1)
    torch.testing.assert_close(torch.cov(x1.mT), covariance, rtol=0, atol=0.15)
    # the noise of 0.5 that is left at the last time and after finite steps
    torch.testing.assert_close(shrink(x1), shrink(told).expand(4000, -1), rtol=0, atol=5e-3)


def pictures(count, generator):
    return 2 + torch.rand(count, 1, 6, 6, generator=generator, dtype=torch.float64)


def masks(count, generator):
    return (torch.rand(count, 1, 6, 6, generator=generator) < 0.6).float()


def test_masked_pairs_keep_what_is_known(generator):
    x0, x1, condition = MaskedCoupling(pictures, masks, 0.3).draw(500, generator)
    mask, known = condition[:, :1], condition[:, 1:]
    assert condition.shape == (500, 2, 6, 6)
    assert torch.equal(x0[mask > 0], x1[mask > 0])
    assert torch.equal(known, mask * x1)
    hole = x0[mask == 0]
    # 7200 normal draws
    assert abs(hole.mean()) < 5 * 0.3 / len(hole) ** 0.5
    assert hole.std().item() == pytest.approx(0.3, rel=5 / (2 * len(hole)) ** 0.5)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_refuses_ends_without_noise(value):
    with pytest.raises(ValueError, match="sigma > 0"):
        EnlargedCoupling(images, shrink, enlarge, value)
    with pytest.raises(ValueError, match="spread > 0"):
        MaskedCoupling(pictures, masks, value)


def test_transport_finds_the_cheapest_pairing(generator):
    apart = IndependentCoupling(images, images)
    count = 6
    seed = generator.get_state()
    before = apart.draw(count, generator)
    generator.set_state(seed)
    after = TransportCoupling(apart).draw(count, generator)
    assert torch.equal(after.x1, before.x1)
    costs = [
        (before.x0[list(order)] - before.x1).square().sum()
        for order in itertools.permutations(range(count))
    ]
    assert (after.x0 - after.x1).square().sum().item() == pytest.approx(min(costs).item())
    assert (after.x0 - after.x1).square().sum() < (before.x0 - before.x1).square().sum()
    torch.testing.assert_close(after.x0.sort(0).values, before.x0.sort(0).values)


def test_transport_refuses_what_it_would_change(generator):
    x = images(5, generator)
    for coupling in (IndependentCoupling(images), PairedCoupling(x, x, x)):
        with pytest.raises(ValueError, match="with x0 and without a condition"):
            TransportCoupling(coupling).draw(3, generator)
