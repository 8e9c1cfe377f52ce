"""What holds for every sampler of volumes."""

from __future__ import annotations

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.rng import derive_generator
from invdiff.volumes import Execution, KnownSlices, SlicePrior, VolumeSampler, Whole
from invdiff.volumes.coupling import Terms
from invdiff.volumes.data_step import data_step
from operators import FiniteDifferences, GaussianNoise, SliceStack
from tests.invdiff.volumes.threaded_parts import run_in_parts
from tests.invdiff.volumes.volume_instances import (
    SHAPE,
    SLICES,
    VOLUME_SAMPLERS,
    WHOLE_ONLY,
    problem,
    slice_prior,
)

# sums in another order, carried through six steps
ORDER = {"rtol": 1e-5, "atol": 1e-5}
# batched products round differently
ROUNDING = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(params=VOLUME_SAMPLERS)
def name(request):
    return request.param


@pytest.fixture
def sampler(name):
    return VOLUME_SAMPLERS[name]


def drawn(sampler: VolumeSampler, num_samples: int = 2, seed: int = 0, **more) -> torch.Tensor:
    likelihood, prior = problem()
    generator = derive_generator(seed)
    return sampler.sample(likelihood, prior, num_samples, generator=generator, **more).values


def test_the_same_seed_gives_the_same_bits_and_another_does_not(sampler):
    x = drawn(sampler)
    assert x.shape == (2, SLICES, *SHAPE)
    assert torch.isfinite(x).all()
    assert torch.equal(x, drawn(sampler))
    assert not torch.allclose(x, drawn(sampler, seed=1))


def test_a_sample_does_not_depend_on_how_many_there_are(sampler):
    x = drawn(sampler, 3)
    torch.testing.assert_close(drawn(sampler, 2), x[:2], **ROUNDING)
    assert not torch.allclose(x[0], x[1])


class Interrupted(Exception):
    pass


class Memory:
    """Keeps the state before one step; the first run ends there."""

    def __init__(self, step: int) -> None:
        self.step, self.kept, self.seen = step, None, []

    def load(self):
        return self.kept

    def save(self, step, state):
        self.seen.append(step)
        if self.kept is None and step == self.step:
            coupling = tuple(t.clone() for t in state.coupling)
            self.kept = (step, state._replace(x=state.x.clone(), coupling=coupling))
            raise Interrupted


@pytest.mark.parametrize("step", [0, 1, 4])
def test_a_run_that_goes_on_from_a_checkpoint_ends_with_the_same_bits(sampler, step):
    memory = Memory(step)
    with pytest.raises(Interrupted):
        drawn(sampler, checkpoints=memory)
    resumed = drawn(sampler, checkpoints=memory)
    assert torch.equal(resumed, drawn(sampler))
    # and repeats no step but the one that was cut short
    assert memory.seen == [*range(step + 1), *range(step, sampler.num_steps)]


def test_inputs_stay_as_they_are(sampler):
    likelihood, prior = problem()
    y, adjoint = likelihood.y.clone(), likelihood.weighted_adjoint.clone()
    means = prior.denoiser.means.clone()
    known = KnownSlices(torch.arange(SLICES) == 2, torch.ones(SLICES, *SHAPE).double())
    sampler.sample(likelihood, prior, 2, generator=derive_generator(0), known=known)
    assert torch.equal(likelihood.y, y)
    assert torch.equal(likelihood.weighted_adjoint, adjoint)
    assert torch.equal(prior.denoiser.means, means)
    assert torch.equal(known.values, torch.ones_like(known.values))


def test_known_slices_keep_their_values(sampler):
    mask = torch.arange(SLICES) % 3 == 1
    # also beyond the data range
    values = 10 * torch.randn(SLICES, *SHAPE, generator=derive_generator(0), dtype=torch.float64)
    x = drawn(sampler, known=KnownSlices(mask, values))
    assert torch.equal(x[:, mask], values[mask].expand(2, -1, -1, -1))
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("counts", [(2, 4), (1, 5)])
def test_a_split_of_the_slices_gives_the_same_volume(name, sampler, counts):
    if name in WHOLE_ONLY:
        pytest.skip("needs all slices in one place")

    def work(part):
        likelihood, prior = problem(part.first, part.count)
        generator = derive_generator(0)
        return sampler.sample(likelihood, prior, 2, generator=generator, split=part).values

    parts = run_in_parts(counts, work)
    assert [part.shape[1] for part in parts] == list(counts)
    torch.testing.assert_close(torch.cat(parts, dim=1), drawn(sampler), **ORDER)


@pytest.mark.parametrize("storage", ["host", "disk"])
@pytest.mark.parametrize("pinned", [False, True])
def test_it_does_not_matter_where_volumes_live(sampler, storage, pinned):
    values = torch.ones(SLICES, *SHAPE, dtype=torch.float64)
    known = KnownSlices(torch.arange(SLICES) == 2, values) if pinned else None
    x = drawn(sampler, execution=Execution(storage=storage), known=known)
    torch.testing.assert_close(x, drawn(sampler, known=known), **ROUNDING)


def test_the_callback_sees_every_step(sampler):
    seen = []
    drawn(sampler, callback=seen.append)
    assert [progress.step for progress in seen] == list(range(sampler.num_steps))
    assert all(progress.image.shape == (2, SLICES, *SHAPE) for progress in seen)
    sigmas = [float(progress.sigma) for progress in seen]
    assert sigmas == sorted(sigmas, reverse=True)


def test_what_is_no_single_volume_of_this_prior_is_refused(sampler):
    likelihood, prior = problem()
    generator = derive_generator(0)
    with pytest.raises(ValueError, match="prior"):
        sampler.sample(likelihood, SlicePrior(slice_prior(), SLICES - 1), generator=generator)
    slices = Likelihood(likelihood.operator.operator, likelihood.noise, likelihood.y)
    with pytest.raises(ValueError, match="one volume"):
        sampler.sample(slices, slice_prior(), generator=generator)
    several = Likelihood(likelihood.operator, likelihood.noise, likelihood.y.expand(2, *SHAPE_Y))
    with pytest.raises(ValueError, match="one volume"):
        sampler.sample(several, prior, generator=generator)
    with pytest.raises(ValueError, match="split"):
        sampler.sample(likelihood, prior, generator=generator, split=Whole(SLICES + 1))
    other = KnownSlices(torch.ones(SLICES, dtype=torch.bool), torch.zeros(SLICES, 2, 2))
    with pytest.raises(ValueError, match="PinnedSlices"):
        sampler.sample(likelihood, prior, generator=generator, known=other)


SHAPE_Y = SliceStack(FiniteDifferences(SHAPE), SLICES).out_shape


def test_a_step_of_conjugate_gradients_has_one_length_for_all_slices():
    """The first one is steepest descent with scalars summed over the volume."""
    operator = FiniteDifferences(SHAPE)
    generator = derive_generator(0)
    scale = torch.logspace(0, 2, SLICES, dtype=torch.float64).reshape(-1, 1, 1, 1)
    y = scale * torch.randn(*SHAPE_Y, generator=generator, dtype=torch.float64)
    likelihood = Likelihood(SliceStack(operator, SLICES), GaussianNoise(1.0), y)
    start = torch.randn(2, SLICES, *SHAPE, generator=generator, dtype=torch.float64)
    w = torch.tensor(0.7, dtype=torch.float64)
    x = data_step(likelihood, start, w, Terms(), Whole(SLICES), num_steps=1)
    r = likelihood.quadratic_score(start)
    product = likelihood.operator.normal(r) + w * r
    length = (r**2).sum((1, 2, 3)) / (r * product).sum((1, 2, 3))
    torch.testing.assert_close(x, start + length.reshape(2, 1, 1, 1) * r)
