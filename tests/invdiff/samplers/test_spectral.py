"""DDRM and DDNM: exact laws, and their bias against what their published steps must give."""

import math
from types import SimpleNamespace

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, half_range
from invdiff.rng import derive_generator
from invdiff.samplers import DDNM, DDRM
from operators import (
    FiniteDifferences,
    GaussianNoise,
    Mask,
    SingleCoilMRI,
    SVDOperator,
    TransmissionNoise,
)
from tests.invdiff.samplers.affine_chains import (
    MEAN,
    Chain,
    compare,
    ddnm_chain,
    ddnm_step,
    ddrm_chain,
    levels,
    posterior,
    setting,
    shrinkage,
)

COUNT = 1500


@pytest.fixture(scope="module")
def problem():
    return setting()


def draw(sampler, likelihood, prior, count=COUNT):
    return sampler.sample(likelihood, prior, count, generator=derive_generator(0)).values


@pytest.mark.parametrize(
    "sampler",
    [DDRM(clip=False), DDRM(8, eta=1.0, eta_b=0.4, sigma_max=1.0, clip=False)],
    ids=["default", "weak data"],
)
def test_ddrm_is_the_chain_of_its_formulas(problem, sampler):
    """With sigma_max = 1 the least precise coordinate starts as if it were not observed."""
    sigmas = levels(sampler, problem.prior)
    chains = [ddrm_chain(sampler, sigmas, *c) for c in zip(problem.y, problem.level, strict=True)]
    compare(draw(sampler, problem.likelihood, problem.prior), problem, chains)


def test_ddrm_starts_from_the_data_where_they_are_more_precise_than_the_noise(problem):
    sampler = DDRM(sigma_max=1.0)
    first = levels(sampler, problem.prior)[:1]
    state = sampler.init(problem.likelihood, problem.prior, COUNT, generator=derive_generator(0))
    chains = [ddrm_chain(sampler, first, *c) for c in zip(problem.y, problem.level, strict=True)]
    compare(state.x, problem, chains)


@pytest.mark.parametrize(
    "sampler",
    [
        DDNM(20, clip=False),
        DDNM(20, noise_free=True, clip=False),
        DDNM(3, 1.0, 0.5, eta=0.3, travel_length=2, travel_repeats=2, clip=False),
    ],
    ids=["plus", "noise-free", "time travel"],
)
def test_ddnm_is_the_chain_of_its_formulas(problem, sampler):
    sigmas, half = levels(sampler, problem.prior), half_range(problem.prior)
    chains = [
        ddnm_chain(sampler, sigmas, half, *c) for c in zip(problem.y, problem.level, strict=True)
    ]
    compare(draw(sampler, problem.likelihood, problem.prior), problem, chains)


def ratios(chain_of):
    """Std over the posterior's: observed with sigma_y = 0.1, and not observed."""
    return [
        (chain_of(0.0, level).var / posterior(0.0, level).var) ** 0.5 for level in (0.1, math.inf)
    ]


def test_ddrm_has_the_spread_of_the_published_method_without_a_lost_root_two():
    """100 levels from 1 to 0: deepinv 0.5.0 gave 0.528 and 0.851 once its / sqrt(2) was removed.

    Measured with 128 chains on 256 pixels, so each is known to about 0.006.
    """
    settings = SimpleNamespace(eta=0.85, eta_b=1.0)
    sigmas = torch.linspace(1, 0, 100).double().tolist()
    observed, unobserved = ratios(lambda y, level: ddrm_chain(settings, sigmas, y, level))
    assert observed == pytest.approx(0.528, abs=0.01)
    assert unobserved == pytest.approx(0.851, abs=0.01)


@pytest.mark.parametrize(
    ("sampler", "observed", "unobserved"),
    [(DDRM(), 0.506, 0.790), (DDRM(1000), 0.275, 0.871), (DDNM(), 0.0, 0.854)],
    ids=["ddrm", "ddrm-1000", "ddnm"],
)
def test_the_spread_falls_short_as_documented(problem, sampler, observed, unobserved):
    sigmas, half = levels(sampler, problem.prior), half_range(problem.prior)

    def chain(y, level):
        if isinstance(sampler, DDRM):
            return ddrm_chain(sampler, sigmas, y, level)
        return ddnm_chain(sampler, sigmas, half, y, level)

    assert ratios(chain) == pytest.approx([observed, unobserved], abs=6e-4)


def test_ddnm_explains_noise_free_data_to_rounding(problem):
    x = draw(DDNM(10, noise_free=True), problem.likelihood, problem.prior, 3)
    operator, y = problem.likelihood.operator, problem.likelihood.y
    reached = operator.U(operator.Uh(y) * (operator.singular_values > 1e-6))
    # y also holds noise outside the range of A, which no image explains
    assert (operator(x) - reached).abs().max() < 1e-12


def test_ddnm_plus_is_ddnm_in_the_limit_of_no_noise(problem):
    """Up to the last projection, at sigma' = 0 < sigma_y, which gives no weight to the data."""
    operator, y = problem.likelihood.operator, problem.likelihood.y
    likelihood = Likelihood(operator, GaussianNoise(1e-11), y)
    plus = draw(DDNM(10, clip=False), likelihood, problem.prior, 3)
    free = draw(DDNM(10, clip=False, noise_free=True), likelihood, problem.prior, 3)
    torch.testing.assert_close(plus + operator.pinv(y - operator(plus)), free)
    assert not torch.allclose(plus, free)


def test_ddnm_travels_back_to_the_noise_where_the_stretch_began(problem):
    """The callback sees the first step of the second run; the result itself forgets the travel."""
    seen = []
    sampler = DDNM(3, 1.0, 0.5, travel_length=2, travel_repeats=2, clip=False)
    sampler.sample(
        problem.likelihood,
        problem.prior,
        COUNT,
        generator=derive_generator(0),
        callback=seen.append,
    )
    assert [p.step for p in seen] == [0, 1, 2]
    high, middle, low, _ = levels(sampler, problem.prior)
    chain = Chain(0.0, high**2)
    chain = ddnm_step(sampler, chain, high, middle, 0.0, math.inf)
    chain = ddnm_step(sampler, chain, middle, low, 0.0, math.inf)
    chain = chain.moved(1.0, 0.0, (high**2 - low**2) ** 0.5).moved(shrinkage(high), 0.0, 0.0)
    unobserved = ((seen[0].image - MEAN) @ problem.basis)[:, 4:]
    ratio = unobserved.std(0) / chain.var**0.5
    assert ((ratio - 1).abs() < 4.5 / (2 * COUNT) ** 0.5).all()


class Stretch(SVDOperator):
    """Two pixels, doubled and halved; U and V change nothing."""

    def __init__(self):
        super().__init__((2,), (2,))
        self.register_buffer("singular_values", torch.tensor([2.0, 0.5]))

    def U(self, z):
        return z

    Uh = V = Vh = U


@pytest.mark.parametrize("sampler", [DDRM(4), DDNM(4)], ids=["ddrm", "ddnm"])
class TestBoth:
    def test_leave_the_measurement_alone(self, sampler):
        """Where U is the identity y itself is what comes back, and must not be scaled in place."""
        y = torch.tensor([0.3, 0.9], dtype=torch.float64)
        likelihood = Likelihood(Stretch(), GaussianNoise(0.1), y)
        prior = GaussianPrior(torch.zeros(2).double(), 1.0)
        first = draw(sampler, likelihood, prior, 2)
        assert torch.equal(y, torch.tensor([0.3, 0.9], dtype=torch.float64))
        assert torch.equal(first, draw(sampler, likelihood, prior, 2))

    def test_refuse_an_operator_without_svd(self, sampler):
        operator = FiniteDifferences((3, 2))
        likelihood = Likelihood(operator, GaussianNoise(0.1), operator(torch.zeros(3, 2)))
        prior = GaussianPrior(torch.zeros(3, 2), 1.0)
        with pytest.raises(ValueError, match="known SVD, got FiniteDifferences"):
            draw(sampler, likelihood, prior, 1)

    def test_refuse_noise_of_several_levels(self, sampler):
        operator = Mask(torch.ones(2, dtype=torch.bool))
        likelihood = Likelihood(operator, TransmissionNoise(100.0), torch.tensor([50.0, 20.0]))
        prior = GaussianPrior(torch.zeros(2), 1.0)
        with pytest.raises(ValueError, match=r"one level, got TransmissionNoise .*\(2,\)"):
            draw(sampler, likelihood, prior, 1)

    def test_take_complex_images(self, sampler):
        mask = torch.rand(4, 4, generator=torch.Generator().manual_seed(0)) < 0.5
        operator = SingleCoilMRI(mask)
        x = torch.full((4, 4), 0.3 + 0.2j)
        likelihood = Likelihood(operator, GaussianNoise(1e-3), operator(x))
        values = draw(sampler, likelihood, Shrink(), 2)
        assert values.is_complex()
        assert torch.isfinite(values.abs()).all()


class Shrink:
    """A complex prior N(0, 1)."""

    data_range = (-1.0, 1.0)
    image_shape = (4, 4)

    def __call__(self, x, sigma):
        return x / (1 + sigma**2)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (DDRM, {"eta": 1.5}),
        (DDRM, {"eta_b": -0.1}),
        (DDNM, {"eta": -0.1}),
        (DDNM, {"travel_length": 0}),
        (DDNM, {"travel_repeats": 0}),
    ],
    ids=str,
)
def test_refuses_settings_out_of_range(kind, settings):
    with pytest.raises(ValueError, match=kind.__name__):
        kind(**settings)
