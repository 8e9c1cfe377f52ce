from dataclasses import replace

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.volumes import DiffusionMBIR, SlicePrior
from invdiff.volumes.coupling import soft_threshold
from invdiff.volumes.sampler import VolumeState
from operators import GaussianNoise, ImageGrid, Mask, ParallelBeam2D, ParallelGeometry, SliceStack
from tests.invdiff.volumes.threaded_parts import run_in_parts

SLICES, SIZE = 4, 5
SPREAD, SIGMA = 0.7, 0.4
# a coupling so weak that the slices don't feel it
UNCOUPLED = {"threshold": 0.0, "penalty": 1e-9}


class WhiteImages:
    """White Gaussian images whose data range is one standard deviation to either side."""

    image_shape = (SIZE, SIZE)

    def __init__(self, scale=1.0):
        self.data_range, self.num_calls = (-SPREAD * scale, SPREAD * scale), 0
        mean = torch.zeros(self.image_shape, dtype=torch.float64)
        self.prior = GaussianPrior(mean, (SPREAD * scale) ** 2)

    def __call__(self, x, sigma):
        self.num_calls += 1
        return self.prior(x, sigma)


def masked(generator, mask=None):
    if mask is None:
        mask = torch.rand(SLICES, SIZE, SIZE, generator=generator) < 0.5
    truth = SPREAD * torch.randn(mask.shape, generator=generator, dtype=torch.float64)
    noise, operator = GaussianNoise(SIGMA), Mask(mask)
    return Likelihood(operator, noise, noise.sample(operator(truth), generator=generator))


def scanned(generator, scale=1.0):
    """A scan in which lengths are ``scale`` times shorter, of an image that is so much denser."""
    grid = ImageGrid((SIZE, SIZE), (1 / scale, 1 / scale))
    projector = ParallelBeam2D(grid, ParallelGeometry.covering(grid, 3)).to(torch.float64)
    operator = SliceStack(projector, SLICES)
    y = torch.randn(operator.out_shape, generator=generator, dtype=torch.float64)
    return Likelihood(operator, GaussianNoise(SIGMA), y)


def run(sampler, likelihood, num_samples=1, prior=None, **arguments):
    prior = SlicePrior(prior or WhiteImages(), likelihood.image_shape[0])
    samples = sampler.sample(
        likelihood, prior, num_samples, generator=derive_generator(3), **arguments
    )
    return samples.values


CORRECTED = DiffusionMBIR(num_steps=12)
PUBLISHED = replace(DiffusionMBIR.published(), num_steps=12)
# on data that are no scan
PUBLISHED_ADJOINT = replace(PUBLISHED, backprojection="adjoint")


def test_corrected_draws_from_the_posterior_of_a_white_prior(generator):
    """The mean and the spread of measured voxels, but for the size of the corrector's steps."""
    likelihood = masked(generator)
    sampler = DiffusionMBIR(num_steps=150, snr=0.08, clip=False, **UNCOUPLED)
    measured = likelihood.operator(run(sampler, likelihood, 24))
    gain = SPREAD**2 / (SPREAD**2 + SIGMA**2)
    found = (measured.mean(0) * likelihood.y).sum() / likelihood.y.square().sum()
    assert found == pytest.approx(gain, abs=0.03)
    spread = (measured - gain * likelihood.y).std()
    assert spread == pytest.approx((SIGMA**2 * gain) ** 0.5, rel=0.08)


def test_published_fits_the_noise(generator):
    likelihood = masked(generator)
    sampler = replace(PUBLISHED_ADJOINT, **UNCOUPLED)
    fitted = likelihood.operator(run(sampler, likelihood))
    torch.testing.assert_close(fitted, likelihood.y.expand_as(fitted))
    aware = run(CORRECTED, likelihood)
    assert likelihood.residual_over_noise(aware) > 0.4


def first_and_last(ends, generator):
    """How far the first slice moves with data that are on the last one."""
    mask = torch.zeros(SLICES, SIZE, SIZE, dtype=torch.bool)
    mask[-1] = True
    likelihood = masked(generator, mask)
    moved = Likelihood(likelihood.operator, likelihood.noise, likelihood.y + 1)
    sampler = DiffusionMBIR(num_steps=2, sigma_max=2.0, sigma_min=1.0, penalty=0.5, ends=ends)
    return (run(sampler, moved) - run(sampler, likelihood))[0].abs().amax((1, 2))


def test_periodic_ends_reach_from_the_last_slice_to_the_first(generator):
    moved = first_and_last("periodic", generator)
    torch.testing.assert_close(moved[0], moved[2])


def test_neumann_ends_pass_from_slice_to_slice(generator):
    moved = first_and_last("neumann", generator)
    assert (moved.diff() > 0).all()


def test_total_variation_evens_out_slices_without_data(generator):
    mask = torch.zeros(SLICES, SIZE, SIZE, dtype=torch.bool)
    mask[0] = True
    likelihood = masked(generator, mask)
    sampler = DiffusionMBIR(num_steps=30, penalty=20.0, threshold=0.5)
    smooth, rough = (
        run(choice, likelihood).diff(dim=1).abs().mean()
        for choice in (sampler, replace(sampler, **UNCOUPLED))
    )
    assert smooth < 0.6 * rough


def test_step_sizes_of_slices_are_their_own_or_common(generator):
    """In a step to level 0 without a corrector nothing else is in common."""
    likelihood = scanned(generator)
    y = likelihood.y.clone()
    y[-1] += 1
    moved = Likelihood(likelihood.operator, likelihood.noise, y)
    for step_size, is_same in (("per-slice", True), ("global", False)):
        sampler = DiffusionMBIR(num_steps=2, num_cg=1, step_size=step_size, penalty=1e-200)
        both = [last_step(sampler, data) for data in (likelihood, moved)]
        assert torch.equal(both[0][:, 0], both[1][:, 0]) == is_same


def last_step(sampler, likelihood):
    """Start the last step from a volume of zeros."""
    x = torch.zeros(1, *likelihood.image_shape, dtype=torch.float64)
    start = sampler.num_steps - 1, VolumeState(x, (x, x))
    return run(sampler, likelihood, checkpoints=Memory(None, start))


class Memory:
    """Keeps the state before one step."""

    def __init__(self, at, found=None):
        self.at, self.found = at, found

    def load(self):
        return self.found

    def save(self, step, state):
        if step == self.at:
            self.found = (step, state)


@pytest.mark.parametrize("sampler", [CORRECTED, PUBLISHED])
def test_resumes_where_it_was_interrupted(generator, sampler):
    likelihood, store = scanned(generator), Memory(7)
    uninterrupted = run(sampler, likelihood, checkpoints=store)
    assert store.found[0] == 7
    assert len(store.found[1].coupling) == 2
    assert torch.equal(run(sampler, likelihood, checkpoints=store), uninterrupted)


@pytest.mark.parametrize("sampler", [CORRECTED, PUBLISHED])
def test_same_seed_same_bits_and_a_sample_does_not_know_the_others(generator, sampler):
    likelihood = scanned(generator)
    once, twice = run(sampler, likelihood), run(sampler, likelihood)
    assert torch.equal(once, twice)
    three = run(sampler, likelihood, 3)
    torch.testing.assert_close(three[:1], once)
    assert (three[1] - three[0]).abs().max() > 0.1


@pytest.mark.parametrize("sampler", [CORRECTED, PUBLISHED, replace(CORRECTED, ends="periodic")])
def test_split_does_not_matter(generator, sampler):
    likelihood = scanned(generator)

    def own(part):
        operator = SliceStack(likelihood.operator.operator, part.count)
        y = likelihood.y[part.first : part.first + part.count]
        return run(sampler, Likelihood(operator, likelihood.noise, y), split=part)

    found = torch.cat(run_in_parts((1, 3), own), dim=1)
    torch.testing.assert_close(found, run(sampler, likelihood))


@pytest.mark.parametrize("sampler", [CORRECTED, PUBLISHED])
def test_units_do_not_matter(sampler):
    """Threshold and penalty are relative: a denser image in a smaller body is the same image."""
    found = [
        run(sampler, scanned(derive_generator(1), scale), prior=WhiteImages(scale)) / scale
        for scale in (1.0, 50.0)
    ]
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize(("sampler", "num_calls"), [(CORRECTED, 23), (PUBLISHED, 24)])
def test_calls_the_network_twice_a_level(generator, sampler, num_calls):
    prior = WhiteImages()
    run(sampler, scanned(generator), prior=prior)
    assert prior.num_calls == num_calls


def test_levels_are_geometric_and_end_in_zero():
    levels = DiffusionMBIR(num_steps=5, sigma_max=100.0, sigma_min=0.01).levels()
    torch.testing.assert_close(levels, torch.tensor([100.0, 10.0, 1.0, 0.1, 0.01, 0.0]).double())


def test_callback_is_told_of_every_step(generator):
    seen = []
    values = run(CORRECTED, masked(generator), callback=seen.append)
    assert [progress.step for progress in seen] == list(range(12))
    assert torch.equal(seen[-1].image, values)


def test_soft_threshold_shrinks_magnitudes():
    v = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0])
    expected = torch.tensor([-1.0, 0.0, 0.0, 0.0, 1.0])
    torch.testing.assert_close(soft_threshold(v, torch.tensor(1.0)), expected)
    torch.testing.assert_close(soft_threshold(1j * v, torch.tensor(1.0)), 1j * expected)


@pytest.mark.parametrize(
    "choice",
    [
        {"num_steps": 1},
        {"sigma_min": 0.0},
        {"num_cg": 0},
        {"snr": 0.0},
        {"threshold": -0.1},
        {"penalty": 0.0},
        {"ends": "mirror"},
        {"backprojection": "filtered"},
        {"step_size": "none"},
        {"data_on": "both"},
        {"corrector_level": "last"},
        {"finish": "never"},
    ],
)
def test_bad_choices_are_refused(choice):
    with pytest.raises(ValueError, match=r"expected|positive|is one of"):
        DiffusionMBIR(**choice)


def test_published_backprojection_is_refused_before_the_first_step(generator):
    with pytest.raises(ValueError, match="ParallelBeam2D"):
        run(PUBLISHED, masked(generator))
