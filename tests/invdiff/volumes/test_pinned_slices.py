"""Known slices at noise 0: exact for an exact prior, and what other ways lose."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import AR1VolumePrior, GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import HeunSampler, MomentMatching
from invdiff.volumes import (
    DDS3D,
    DiffPIR3D,
    KnownSlices,
    PinnedSlices,
    QuadraticZ,
    RedDiff3D,
    SlicePrior,
    VolumeSampler,
    sample_in_blocks,
)
from operators import GaussianNoise, Mask, SliceStack

# every pixel is a replicate of the same chain of 8 slices
ROWS, COLUMNS, SLICES, CORRELATION = 80, 100, 8, 0.8
REPLICATES = ROWS * COLUMNS
KNOWN = torch.tensor([False, False, True, False, False, False, True, False])
# entries of a covariance of 6 slices, and of means: far out at five standard errors
EXTREME = 4.5


@pytest.fixture(scope="module")
def prior():
    return AR1VolumePrior((SLICES, ROWS, COLUMNS), CORRELATION, mean=0.3, std=0.7)


@pytest.fixture(scope="module")
def known(prior):
    values = prior.sample(1, generator=derive_generator(0, "known"))[0]
    return KnownSlices(KNOWN, torch.where(KNOWN[:, None, None], values, torch.nan))


class Errors(NamedTuple):
    """Of the moments of the unknown slices, over their Monte-Carlo standard errors.

    With N replicates of a Gaussian of covariance S about its known mean, an entry (i, j) of the
    sample covariance has the squared standard error ``(S_ii S_jj + S_ij^2) / N``; the whole
    matrix has, in the Frobenius norm, the root of their sum.
    """

    covariance: float
    rms: float
    extreme: float
    mean: float
    regression: float


def errors(x: torch.Tensor, prior: AR1VolumePrior, known: KnownSlices) -> Errors:
    mean, s = prior.conditional(known.mask, known.values)
    free = ~known.mask
    s, r = s[free][:, free], (x - mean)[free].flatten(1)
    offset = r @ r.T / REPLICATES - s
    variance = torch.diagonal(s)
    squared = (variance[:, None] * variance + s**2) / REPLICATES
    z = (offset / squared.sqrt())[torch.ones_like(s).triu() > 0]
    v = known.values[known.mask].flatten(1) - prior.mean
    # were the weights of the known slices wrong, the residual would follow them
    slope = r @ v.T / (variance[:, None] * (v**2).sum(1)).sqrt()
    return Errors(
        float(offset.norm() / squared.sum().sqrt()),
        float((z**2).mean().sqrt()),
        float(z.abs().max()),
        float((r.mean(1) / (variance / REPLICATES).sqrt()).abs().max()),
        float(slope.abs().max()),
    )


def drawn(denoiser, seed: int = 0, **settings) -> torch.Tensor:
    settings = {"num_steps": 60, "sigma_min": 1e-3, **settings}
    sampler = HeunSampler(**settings)
    generator = derive_generator(seed, "descent")
    return sampler.sample(denoiser, 1, generator=generator, dtype=torch.float64).values[0]


@pytest.mark.parametrize(
    ("seed", "num_steps", "churn"),
    [(0, 60, 0.0), (1, 60, 0.0), (2, 60, 0.0), (0, 200, 40.0), (1, 200, 40.0)],
    ids=["ode 0", "ode 1", "ode 2", "sde 0", "sde 1"],
)
def test_pinned_slices_give_the_exact_conditional(prior, known, seed, num_steps, churn):
    """Within two Monte-Carlo standard errors, as a matrix; no entry is far out."""
    x = drawn(PinnedSlices(prior, known), seed, num_steps=num_steps, churn=churn)
    found = errors(x, prior, known)
    assert found.covariance < 2
    assert found.rms < 2
    assert max(found.extreme, found.mean, found.regression) < EXTREME
    torch.testing.assert_close(x[KNOWN], known.values[KNOWN])


def test_the_measure_of_error_has_size_one_for_exact_samples(prior, known):
    """Exact draws of the conditional: the tests above can be passed, and by how much."""
    mean, s = prior.conditional(known.mask, known.values)
    free = ~known.mask
    root = torch.linalg.cholesky(s[free][:, free])
    sizes = []
    for seed in range(20):
        n = torch.randn(6, REPLICATES, generator=derive_generator(seed), dtype=torch.float64)
        x = mean.clone()
        x[free] += (root @ n).reshape(6, ROWS, COLUMNS)
        found = errors(x, prior, known)
        assert found.covariance < 2
        assert max(found.extreme, found.mean, found.regression) < EXTREME
        sizes.append([found.covariance**2, found.rms**2])
    assert torch.tensor(sizes).mean(0).tolist() == pytest.approx([1, 1], abs=0.35)


class Replaced:
    """The replacement method: known slices are put under noise of the common level."""

    def __init__(self, denoiser, known, generator, *, fresh):
        self.image_shape, self.data_range = denoiser.image_shape, denoiser.data_range
        self.denoiser, self.known, self.generator, self.fresh = denoiser, known, generator, fresh
        self.noise = self.draw()

    def draw(self):
        return torch.randn(self.image_shape, generator=self.generator, dtype=torch.float64)

    def __call__(self, x, sigma):
        noise = self.draw() if self.fresh else self.noise
        noisy = KnownSlices(self.known.mask, self.known.values + sigma * noise)
        return self.known.pin(self.denoiser(noisy.pin(x), sigma))


@pytest.mark.parametrize("fresh", [False, True])
def test_replacing_noisy_slices_is_biased(prior, known, fresh):
    generator = derive_generator(1, "replacement")
    found = errors(drawn(Replaced(prior, known, generator, fresh=fresh)), prior, known)
    assert found.covariance > 10
    assert found.regression > 10


def test_levels_of_an_intermediate_height_stay_conditional(prior, known):
    """Any schedule per slice will do: here all that are unknown start at their own level."""
    x = torch.zeros(2, SLICES, ROWS, COLUMNS, dtype=torch.float64)
    levels = torch.rand(2, SLICES, generator=derive_generator(0)).double()
    pinned = PinnedSlices(prior, known)
    expected = prior(known.pin(x), torch.where(KNOWN, 0.0, levels))
    torch.testing.assert_close(pinned(x, levels), expected)
    assert torch.equal(pinned(x, levels)[:, KNOWN], known.values[KNOWN].expand(2, -1, -1, -1))


@pytest.mark.parametrize(("total", "window", "overlap"), [(8, 4, 1), (9, 5, 2), (4, 4, 1)])
def test_blocks_in_turn_have_the_covariance_of_the_whole_chain(total, window, overlap):
    whole = AR1VolumePrior((total, ROWS, COLUMNS), CORRELATION, mean=0.3, std=0.7)
    part = AR1VolumePrior((window, ROWS, COLUMNS), CORRELATION, mean=0.3, std=0.7)

    def draw(first, known):
        return drawn(part if known is None else PinnedSlices(part, known), first)[None]

    x = sample_in_blocks(draw, total, window=window, overlap=overlap)
    assert x.shape == (1, total, ROWS, COLUMNS)
    s, r = whole.covariance_along_z(), x[0].flatten(1) - 0.3
    squared = (0.7**4 + s**2) / REPLICATES
    offset = r @ r.T / REPLICATES - s
    assert offset.norm() / squared.sum().sqrt() < 2
    assert (offset / squared.sqrt()).abs().max() < EXTREME
    assert (r.mean(1) / (0.49 / REPLICATES) ** 0.5).abs().max() < EXTREME


@pytest.mark.parametrize(
    ("total", "window", "overlap"), [(8, 4, 0), (8, 4, 4), (3, 4, 1), (8, 1, 1)]
)
def test_blocks_refuse_windows_that_do_not_move(total, window, overlap):
    with pytest.raises(ValueError, match="sample_in_blocks"):
        sample_in_blocks(
            lambda first, known: torch.zeros(1, 4, 2, 2), total, window=window, overlap=overlap
        )


class Counting:
    """A prior of slices that notes how many it is given, and at which levels."""

    def __init__(self):
        self.prior = GaussianPrior(torch.full((4, 4), 0.5, dtype=torch.float64), 0.04)
        self.image_shape, self.data_range = (4, 4), self.prior.data_range
        self.counts, self.lowest = [], []

    def __call__(self, x, sigma):
        self.counts.append(x.shape[:-2].numel())
        self.lowest.append(float(sigma.min()))
        return self.prior(x, sigma)


def test_a_prior_of_slices_is_not_asked_about_known_ones():
    """And gives what it gives with them."""
    counting = Counting()
    x = torch.rand(2, SLICES, 4, 4, generator=derive_generator(0)).double()
    known = KnownSlices(KNOWN, x[0])
    found = PinnedSlices(SlicePrior(counting, SLICES), known)(x, torch.tensor(0.3))
    assert counting.counts == [2 * 6]
    assert counting.lowest == [pytest.approx(0.3)]
    expected = known.pin(SlicePrior(counting, SLICES)(x, torch.tensor(0.3).double()))
    torch.testing.assert_close(found, expected)


def test_nothing_unknown_needs_no_prior():
    counting = Counting()
    x = torch.rand(SLICES, 4, 4, generator=derive_generator(0)).double()
    known = KnownSlices(torch.ones(SLICES, dtype=torch.bool), x)
    assert torch.equal(PinnedSlices(SlicePrior(counting, SLICES), known)(0 * x, torch.tensor(1)), x)
    assert counting.counts == []


def test_nothing_known_changes_nothing(prior):
    x = torch.rand(2, SLICES, ROWS, COLUMNS, generator=derive_generator(0)).double()
    known = KnownSlices(torch.zeros(SLICES, dtype=torch.bool), torch.full_like(x, torch.nan))
    sigma = torch.tensor([0.2, 0.5])
    torch.testing.assert_close(PinnedSlices(prior, known)(x, sigma), prior(x, sigma))


SAMPLERS: dict[str, VolumeSampler] = {
    "red-diff": RedDiff3D(num_steps=8, coupling=QuadraticZ(1.0)),
    "dds": DDS3D(num_steps=8, coupling=QuadraticZ(1.0)),
    "diffpir": DiffPIR3D(num_steps=8, coupling=QuadraticZ(1.0)),
}


def measured(generator):
    """Every other pixel of each slice, and what is known of two slices: beyond the data range."""
    pixels = torch.arange(16).reshape(4, 4) % 2 == 0
    x = 0.5 + 0.2 * torch.randn(SLICES, 4, 4, generator=generator, dtype=torch.float64)
    stack = SliceStack(Mask(pixels), SLICES)
    likelihood = Likelihood(stack, GaussianNoise(0.1), stack(x))
    return likelihood, KnownSlices(KNOWN, x + 3.0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_reconstructions_keep_known_slices_and_let_them_act(name, generator):
    likelihood, known = measured(generator)
    prior = SlicePrior(Counting().prior, SLICES)

    def run(**more):
        sampler = SAMPLERS[name]
        return sampler.sample(likelihood, prior, 2, generator=derive_generator(0), **more).values

    x, other = run(known=known), run()
    assert torch.equal(x[:, KNOWN], known.values[KNOWN].expand(2, -1, -1, -1))
    moved = (x - other).mean((0, 2, 3))
    neighbours = [1, 3, 5, 7]
    # known slices are 3 too high, and the coupling is as strong as the prior
    assert (moved[neighbours] > 0.1).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_data_steps_with_known_slices_are_exact_minimisers(name, generator):
    """Seen from the last step: no free slice can lower the objective."""
    likelihood, known = measured(generator)
    prior = SlicePrior(Counting().prior, SLICES)
    seen = []

    class Spy(QuadraticZ):
        def update(self, state, x, step):
            seen.append((x, step))
            return ()

    sampler = type(SAMPLERS[name])(num_steps=4, num_cg=60, coupling=Spy(1.0))
    sampler.sample(likelihood, prior, 2, generator=derive_generator(0), known=known)
    assert len(seen) == 4
    for x, step in seen:
        x = x.clone().requires_grad_()
        jump = torch.diff(x, dim=-3)
        pull = ((x - step.denoised) ** 2).sum() + (jump**2).sum()
        misfit = ((likelihood.y - likelihood.operator(x)) ** 2).sum() / 0.1**2
        (slope,) = torch.autograd.grad((misfit + step.weight * pull) / 2, x)
        scale = float(slope[:, KNOWN].abs().max())
        assert slope[:, ~KNOWN].abs().max() < 1e-8 * scale


def test_known_slices_may_differ_between_samples(generator):
    likelihood, known = measured(generator)
    values = torch.stack([known.values, known.values - 1])
    prior = SlicePrior(Counting().prior, SLICES)
    x = RedDiff3D(num_steps=4).sample(
        likelihood, prior, 2, generator=generator, known=KnownSlices(KNOWN, values)
    )
    assert torch.equal(x.values[:, KNOWN], values[:, KNOWN])


@pytest.mark.parametrize(
    ("mask", "values"),
    [
        (torch.ones(4), torch.zeros(4, 2, 2)),
        (torch.ones(2, 4, dtype=torch.bool), torch.zeros(4, 2, 2)),
        (torch.ones(4, dtype=torch.bool), torch.zeros(5, 2, 2)),
        (torch.ones(4, dtype=torch.bool), torch.zeros(4, 2)),
    ],
)
def test_known_slices_of_other_shapes_are_refused(mask, values):
    with pytest.raises(ValueError, match="KnownSlices"):
        KnownSlices(mask, values)


def test_known_slices_of_another_volume_are_refused(prior):
    known = KnownSlices(torch.ones(3, dtype=torch.bool), torch.zeros(3, 2, 2))
    with pytest.raises(ValueError, match="PinnedSlices"):
        PinnedSlices(prior, known)


def test_a_posterior_given_known_slices_is_exact_where_the_sampler_is(prior, known):
    """Two more slices are measured: moment matching, exact for Gaussians, meets the pins."""
    seen, sigma_y = [0, 4], 0.4
    mask = torch.zeros(SLICES, ROWS, COLUMNS, dtype=torch.bool)
    mask[seen] = True
    truth = known.pin(prior.sample(1, generator=derive_generator(1))[0])
    operator, noise = Mask(mask), GaussianNoise(sigma_y)
    y = noise.sample(operator(truth), generator=derive_generator(2))
    sampler = MomentMatching(num_steps=60, sigma_max=80.0, eta=0.0, num_cg=3, clip=False)
    x = sampler.sample(
        Likelihood(operator, noise, y), PinnedSlices(prior, known), 1, generator=derive_generator(0)
    ).values[0]
    mean, s = prior.conditional(known.mask, known.values)
    gain = torch.linalg.solve(s[seen][:, seen] + sigma_y**2 * torch.eye(2), s[seen]).mT
    mean = mean + torch.einsum("zk,krc->zrc", gain, y.reshape(2, ROWS, COLUMNS) - mean[seen])
    free = ~KNOWN
    s, r = (s - gain @ s[seen])[free][:, free], (x - mean)[free].flatten(1)
    variance = torch.diagonal(s)
    squared = (variance[:, None] * variance + s**2) / REPLICATES
    assert (r @ r.T / REPLICATES - s).norm() / squared.sum().sqrt() < 2
    assert (r.mean(1) / (variance / REPLICATES).sqrt()).abs().max() < EXTREME
    torch.testing.assert_close(x[KNOWN], known.values[KNOWN])


@pytest.mark.parametrize("name", ["dds", "diffpir"])
def test_reconstructions_block_by_block_join(name, generator):
    """The last slice of a block pulls the first of the next; without it there is a jump."""
    likelihood, _ = measured(generator)
    prior = SlicePrior(Counting().prior, 4)

    def draw(first, known):
        stack = SliceStack(likelihood.operator.operator, 4)
        part = Likelihood(stack, likelihood.noise, likelihood.y[first : first + 4])
        sampler = SAMPLERS[name]
        return sampler.sample(part, prior, 2, generator=derive_generator(first), known=known).values

    def jump(x):
        return float((x[:, 4] - x[:, 3]).abs().mean())

    joined = sample_in_blocks(draw, SLICES, window=4, overlap=1)
    assert joined.shape == (2, SLICES, 4, 4)
    apart = sample_in_blocks(lambda first, _: draw(first, None), SLICES, window=4, overlap=1)
    assert torch.equal(joined[:, :4], apart[:, :4])
    assert jump(joined) < 0.95 * jump(apart)
