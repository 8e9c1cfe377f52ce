"""A gap of a Gaussian chain from both ends: what is exact, and what two one-sided priors lose."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from invdiff.priors import AR1VolumePrior
from invdiff.rng import derive_generator
from invdiff.samplers import HeunSampler
from invdiff.volumes import BidirectionalSampler, EndsProduct, KnownSlices, OneEnd, PinnedSlices

NUM, CORRELATION, MEAN, STD = 5, 0.8, 0.3, 0.7
FIRST, LAST = 1.2, -0.8
# of the gap; all numbers of a moment recursion are of one pixel
Moments = tuple[Tensor, Tensor]
Step = Callable[[Moments, Tensor, Tensor], Moments]
STANDARD_ERRORS = 4.5


def chain(num_slices: int, rows: int = 1, columns: int = 1, plane=None) -> AR1VolumePrior:
    shape = (num_slices, rows, columns)
    return AR1VolumePrior(shape, CORRELATION, mean=MEAN, std=STD, plane=plane)


def end(value: float, *shape: int) -> Tensor:
    return torch.full(shape or (1, 1), value, dtype=torch.float64)


def one_sided(rows: int = 1, columns: int = 1, plane=None) -> tuple[OneEnd, OneEnd]:
    prior = chain(NUM + 1, rows, columns, plane)
    before = OneEnd(prior, end(FIRST, rows, columns))
    return before, OneEnd(prior, end(LAST, rows, columns), reverse=True)


def product(rule: str, **shape) -> EndsProduct:
    return EndsProduct(*one_sided(**shape), chain(NUM, **shape), rule=rule)


def covariance(positions: Tensor) -> Tensor:
    """Of the slices at these places of the chain, from its definition."""
    distance = (positions[:, None] - positions).abs().double()
    return STD**2 * CORRELATION**distance


def conditional(ends: dict[int, float]) -> Moments:
    """Mean and covariance of slices 1 to NUM given those at other places, by Schur complement."""
    s = covariance(torch.tensor([*range(1, NUM + 1), *ends]))
    gain = s[:NUM, NUM:] @ torch.linalg.inv(s[NUM:, NUM:])
    offset = torch.tensor(list(ends.values()), dtype=torch.float64) - MEAN
    return MEAN + gain @ offset, s[:NUM, :NUM] - gain @ s[NUM:, :NUM]


BOTH = conditional({0: FIRST, NUM + 1: LAST})


def affine(denoiser, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix and offset of a denoiser that is affine, as all are here."""
    basis = torch.cat([torch.zeros(1, NUM), torch.eye(NUM)]).double()[..., None, None]
    images = denoiser(basis, sigma)[..., 0, 0]
    return (images[1:] - images[0]).T, images[0]


def euler(denoiser) -> Step:
    def step(moments: Moments, sigma: Tensor, sigma_next: Tensor) -> Moments:
        matrix, offset = affine(denoiser, sigma)
        share = sigma_next / sigma
        matrix = share * torch.eye(NUM) + (1 - share) * matrix
        mean, s = moments
        return matrix @ mean + (1 - share) * offset, matrix @ s @ matrix.T

    return step


def ancestral(denoiser) -> Step:
    """The reverse SDE: exact for an exact denoiser and small steps."""

    def step(moments: Moments, sigma: Tensor, sigma_next: Tensor) -> Moments:
        matrix, offset = affine(denoiser, sigma)
        share = (sigma_next / sigma) ** 2
        matrix = share * torch.eye(NUM) + (1 - share) * matrix
        mean, s = moments
        added = (sigma**2 - sigma_next**2) * share * torch.eye(NUM)
        return matrix @ mean + (1 - share) * offset, matrix @ s @ matrix.T + added

    return step


def bidirectional(before: OneEnd, behind: OneEnd) -> Step:
    def step(moments: Moments, sigma: Tensor, sigma_next: Tensor) -> Moments:
        mean, s = euler(before)(moments, sigma, sigma_next)
        again = s + (sigma**2 - sigma_next**2) * torch.eye(NUM)
        return euler(behind)((mean, again), sigma, sigma_next)

    return step


def descended(step: Step, num_steps: int) -> Moments:
    """Moments at the end of a descent from white noise, without any sampling."""
    levels = 4 * STD * BidirectionalSampler(num_steps=num_steps).levels()
    moments = torch.full((NUM,), MEAN).double(), levels[0] ** 2 * torch.eye(NUM).double()
    for sigma, sigma_next in pairwise(levels):
        moments = step(moments, sigma, sigma_next)
    return moments


def errors(moments: Moments, exact: Moments = BOTH) -> tuple[float, float]:
    """Root mean square of the mean's error, and the covariance's relative to the exact one."""
    off = (moments[0] - exact[0]).square().mean().sqrt()
    return float(off), float((moments[1] - exact[1]).norm() / exact[1].norm())


@pytest.mark.parametrize("sigma", [0.01, 0.3, 1.0, 30.0])
@pytest.mark.parametrize(("place", "value"), [(0, FIRST), (NUM + 1, LAST)])
def test_one_end_is_the_denoiser_of_the_conditional(place, value, sigma, generator):
    mean, s = conditional({place: value})
    x = torch.randn(3, NUM, generator=generator, dtype=torch.float64)
    gain = s @ torch.linalg.inv(s + sigma**2 * torch.eye(NUM))
    denoiser = one_sided()[0 if place == 0 else 1]
    found = denoiser(x[..., None, None], torch.tensor(sigma))[..., 0, 0]
    torch.testing.assert_close(found, mean + (x - mean) @ gain.T)


@pytest.mark.parametrize("sigma", [0.001, 0.3, 1.0, 30.0])
def test_product_of_posteriors_is_exact_at_every_noise_level(sigma, generator):
    """Beside the denoiser of the whole chain with both ends pinned, pixels correlated."""
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    shape = {"rows": 2, "columns": 3, "plane": root @ root.T / 6 + torch.eye(6)}
    values = torch.zeros(NUM + 2, 2, 3).double()
    values[0], values[-1] = FIRST, LAST
    mask = torch.tensor([True, *[False] * NUM, True])
    exact = PinnedSlices(chain(NUM + 2, **shape), KnownSlices(mask, values))
    x = torch.randn(2, NUM, 2, 3, generator=generator, dtype=torch.float64)
    volume = torch.cat([x[:, :1], x, x[:, :1]], dim=1)
    each = torch.tensor([sigma, 2 * sigma]).double()
    found = product("posteriors", **shape)(x, each)
    torch.testing.assert_close(found, exact(volume, each)[:, 1:-1], rtol=1e-9, atol=1e-9)
    assert not found.requires_grad


def test_sum_of_scores_is_exact_as_the_noise_vanishes_only():
    x = torch.linspace(-1, 2, NUM).double()[..., None, None]
    gaps = []
    for level in (0.01, 1.0):
        sigma = torch.tensor(level).double()
        gap = product("scores")(x, sigma) - product("posteriors")(x, sigma)
        # of the score, which is what a descent follows
        gaps.append(float(gap.abs().max()) / level**2)
    assert gaps[0] < 1e-3
    assert gaps[1] > 0.03


def test_descent_by_the_product_is_exact():
    """What a step of finite size costs is gone when two step sizes are extrapolated to 0."""
    for step in (euler, ancestral):
        coarse, fine = (descended(step(product("posteriors")), num) for num in (75, 150))
        limit = (2 * fine[0] - coarse[0], 2 * fine[1] - coarse[1])
        mean, s = errors(limit)
        assert mean < 2e-3
        assert s < 0.012


def test_one_end_alone_forgets_the_other():
    """The far slice has the mean and the variance of a slice that has never seen it."""
    mean, s = descended(euler(one_sided()[0]), 500)
    far = CORRELATION**NUM
    assert float(mean[-1]) == pytest.approx(MEAN + far * (FIRST - MEAN), abs=2e-3)
    assert float(s[-1, -1]) == pytest.approx(STD**2 * (1 - far**2), rel=2e-2)
    # both ends would have it near the last slice
    assert mean[-1] - BOTH[0][-1] > 1


def test_bidirectional_descent_is_the_reverse_sde_of_the_mean_score():
    found = descended(bidirectional(*one_sided()), 1500)
    mean, s = errors(found, descended(ancestral(product("mean")), 1500))
    assert mean < 3e-3
    assert s < 8e-3


def test_bidirectional_descent_follows_each_end_half_as_strongly():
    """No number of steps makes it exact, and sums of scores do better."""
    mean, s = descended(bidirectional(*one_sided()), 500)
    off, spread = errors((mean, s))
    assert off == pytest.approx(0.198, abs=0.003)
    assert spread == pytest.approx(0.46, abs=0.02)
    assert bool((torch.diagonal(s) > 1.15 * torch.diagonal(BOTH[1])).all())
    summed, summed_spread = errors(descended(ancestral(product("scores")), 500))
    assert summed < off / 10
    assert summed_spread < spread / 8


def test_bidirectional_samples_have_the_moments_of_the_recursion():
    num_samples, num_steps = 2000, 30
    before, behind = one_sided()
    samples = BidirectionalSampler(num_steps=num_steps).sample(
        before, behind, num_samples, generator=derive_generator(0, "gap"), dtype=torch.float64
    )
    x = samples.values[..., 0, 0]
    mean, s = descended(bidirectional(before, behind), num_steps)
    variance = torch.diagonal(s)
    error = (x.mean(0) - mean).abs() / (variance / num_samples).sqrt()
    assert error.max() < STANDARD_ERRORS
    error = (torch.cov(x.T) - s) / ((variance[:, None] * variance + s**2) / num_samples).sqrt()
    assert error.abs().max() < STANDARD_ERRORS


def test_heun_of_the_product_draws_the_conditional():
    num_samples = 1000
    samples = HeunSampler(num_steps=40, sigma_min=1e-3).sample(
        product("posteriors"), num_samples, generator=derive_generator(0), dtype=torch.float64
    )
    x = samples.values[..., 0, 0]
    variance = torch.diagonal(BOTH[1])
    error = (torch.cov(x.T) - BOTH[1]) / (
        (variance[:, None] * variance + BOTH[1] ** 2) / num_samples
    ).sqrt()
    assert error.abs().max() < STANDARD_ERRORS
    error = (x.mean(0) - BOTH[0]).abs() / (variance / num_samples).sqrt()
    assert error.max() < STANDARD_ERRORS


def test_a_sample_does_not_depend_on_how_many_are_drawn():
    sampler, priors = BidirectionalSampler(num_steps=5), one_sided()
    few, many = (
        sampler.sample(*priors, num, generator=derive_generator(0), dtype=torch.float64).values
        for num in (1, 3)
    )
    torch.testing.assert_close(few[0], many[0])


def test_starts_about_the_middle_of_the_range_at_its_own_levels():
    seen = []

    class Watched:
        image_shape, data_range = (2, 1, 1), (2.0, 8.0)

        def __call__(self, x, sigma):
            seen.append((x, sigma))
            return x

    sampler = BidirectionalSampler(num_steps=3, sigma_max=0.5, sigma_min=0.1)
    generator = derive_generator(0)
    sampler.sample(Watched(), Watched(), 3000, generator=generator, dtype=torch.float64)
    levels = 3 * sampler.levels()[:-1]
    torch.testing.assert_close(torch.stack([s for _, s in seen[::2]]), levels)
    torch.testing.assert_close(torch.stack([s for _, s in seen[1::2]]), levels)
    start = seen[0][0]
    assert abs(float(start.mean()) - 5) < STANDARD_ERRORS * 1.5 / 6000**0.5
    assert float(start.std()) == pytest.approx(1.5, rel=STANDARD_ERRORS / 12000**0.5)


def test_refuses_priors_of_other_slices():
    prior, other = one_sided()[0], OneEnd(chain(NUM), end(LAST), reverse=True)
    with pytest.raises(ValueError, match="two priors of the same slices"):
        BidirectionalSampler().sample(prior, other, 1, generator=derive_generator(0))
    with pytest.raises(ValueError, match="priors of the same slices"):
        EndsProduct(prior, other, chain(NUM))


def test_refuses_what_is_out_of_range():
    prior, other = one_sided()
    with pytest.raises(ValueError, match="got 'sum'"):
        EndsProduct(prior, other, chain(NUM), rule="sum")
    with pytest.raises(ValueError, match="OneEnd: expected a chain of two slices or more"):
        OneEnd(chain(NUM), end(FIRST, 2, 2))
    with pytest.raises(ValueError, match="OneEnd: expected a chain of two slices or more"):
        OneEnd(chain(1), end(FIRST))
    with pytest.raises(ValueError, match="num_steps >= 2"):
        BidirectionalSampler(num_steps=1)
    with pytest.raises(ValueError, match=r"OneEnd: expected volumes \(5, 1, 1\), got \(6, 1, 1\)"):
        prior(torch.zeros(NUM + 1, 1, 1), torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"rho > 0, got .* and 0"):
        BidirectionalSampler(rho=0)
