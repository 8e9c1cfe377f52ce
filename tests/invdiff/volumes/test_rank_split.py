import itertools

import pytest
import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior, rescale
from invdiff.rng import derive_generator
from invdiff.volumes import (
    RankSplit,
    RedDiff3D,
    SlicePrior,
    Whole,
    local_likelihood,
    local_prior,
    local_slices,
    slice_ranges,
)
from operators import (
    Blur,
    CorrelatedGaussianNoise,
    GaussianNoise,
    Identity,
    SliceStack,
)
from tests.invdiff.volumes import rank_runs
from tests.invdiff.volumes.rank_runs import COUPLINGS, KINDS, METHODS, SLICES

SIZES = [2, 3]
# over the data range: what the samplers promise, and what sums in another order amount to
PROMISED, ROUNDING = 1e-5, 1e-12


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What each rank of two and of three finds, in one start of three processes."""
    folder = tmp_path_factory.mktemp("ranks")
    assert rank_runs.run_ranks(rank_runs.two_and_three, 3, folder) == [None] * 3
    return {size: rank_runs.load_results(folder, size) for size in SIZES}


@pytest.fixture(scope="module")
def alone():
    return rank_runs.alone()


@pytest.fixture
def part():
    """Slices 2 to 4 of seven."""

    class Part(Whole):
        count = 3

    return Part(SLICES, first=2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_ranks_gives_the_same_volume(together, alone, size, kind, method):
    low, high = rank_runs.problem(kind)[1].data_range
    tolerance = (ROUNDING if kind == "float64" else PROMISED) * (high - low)
    found, expected = together[size][0][f"{kind} {method}"], alone[f"{kind} {method}"]
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_couplings_differ_by_far_more(alone, kind):
    low, high = rank_runs.problem(kind)[1].data_range
    volumes = [alone[f"{kind} RedDiff3D {coupling}"] for coupling in COUPLINGS]
    for one, other in itertools.combinations(volumes, 2):
        assert (one - other).abs().max() > 100 * PROMISED * (high - low)


@pytest.mark.parametrize("size", SIZES)
def test_ranks_hold_consecutive_slices(together, size):
    places = [tuple(found["place"].tolist()) for found in together[size]]
    assert places == {2: [(0, 4), (4, 3)], 3: [(0, 3), (3, 2), (5, 2)]}[size]


@pytest.mark.parametrize("size", SIZES)
def test_the_neighbours_slices_arrive(together, size):
    x = rank_runs.numbered_slices()
    for rank, found in enumerate(together[size]):
        first, count = found["place"].tolist()
        end = first + count
        assert ("after" in found) == ("after imag" in found) == (rank < size - 1)
        assert ("before conj" in found) == (rank > 0)
        if rank < size - 1:
            assert torch.equal(found["after"], x[:, end : end + 1])
            assert torch.equal(found["after imag"], x.imag[:, end : end + 1])
        if rank > 0:
            assert torch.equal(found["before conj"], x.conj()[:, first - 1 : first])


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_volume_is_put_together(together, size):
    x = rank_runs.numbered_slices()
    for rank, found in enumerate(together[size]):
        assert torch.equal(found["gather"], x)
        assert torch.equal(found["real gather"], x.real)
        assert ("collect" in found) == (rank == 0)
    assert torch.equal(together[size][0]["collect"], x)


@pytest.mark.parametrize("size", SIZES)
def test_sums_run_over_the_ranks_in_order(together, size):
    firsts = [found["place"][0] for found in together[size]]
    partial = torch.stack([torch.tensor([0.1, 1e8]) * (first + 1) for first in firsts])
    for found in together[size]:
        assert torch.equal(found["sum"], partial.sum(0))
        both = torch.complex(partial, -partial).sum(0)
        assert torch.equal(found["complex sum"], both)
        # by an all-reduce, in an order of its own
        torch.testing.assert_close(found["sum of many"], both.expand(5000, 2))
        assert torch.equal(found["sum of many"], together[size][0]["sum of many"])


def test_a_failing_rank_ends_the_others(tmp_path):
    first, second = rank_runs.run_ranks(rank_runs.one_fails, 2, tmp_path, timeout=20)
    assert second == "ArithmeticError: rank 1 has run out of numbers"
    assert first.startswith("RuntimeError")
    assert "rank 0 of 2 waits in vain: another rank has failed" in first


def test_a_rank_that_is_stuck_is_given_up(tmp_path):
    first, second = rank_runs.run_ranks(rank_runs.one_is_stuck, 2, tmp_path, timeout=1)
    assert second is None
    assert "rank 0 of 2 waits in vain" in first


def test_refuses_more_ranks_than_slices(tmp_path):
    for error in rank_runs.run_ranks(rank_runs.more_ranks_than_slices, 2, tmp_path):
        assert error == "ValueError: cannot divide 1 slices into 2 parts: one would be empty"


def test_refuses_to_be_without_a_process_group():
    with pytest.raises(ValueError, match="no process group"):
        RankSplit(3)


@pytest.mark.parametrize(("total", "parts"), [(1, 1), (7, 3), (8, 4), (1000, 64)])
def test_parts_are_even_and_complete(total, parts):
    ranges = slice_ranges(total, parts)
    assert [z for part in ranges for z in part] == list(range(total))
    sizes = [len(part) for part in ranges]
    assert len(sizes) == parts
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1


def test_a_local_likelihood_is_that_of_its_slices(part):
    whole, _ = rank_runs.problem("counts")
    x = torch.rand(SLICES, 6, 5, generator=derive_generator(0))
    alone = local_likelihood(whole, part)
    assert alone.image_shape == (3, 6, 5)
    torch.testing.assert_close(alone.score(x[2:5]), whole.score(x)[2:5])
    torch.testing.assert_close(alone.weighted_normal(x[2:5]), whole.weighted_normal(x)[2:5])
    torch.testing.assert_close(alone.weighted_adjoint, whole.weighted_adjoint[2:5])


def test_a_local_prior_is_that_of_its_slices(part):
    plane = GaussianPrior(torch.full((6, 5), 0.5), 0.04)
    prior = rescale(SlicePrior(plane, SLICES), 0.0, 10.0)
    local = local_prior(prior, part)
    assert local.image_shape == (3, 6, 5)
    assert local.data_range == (0.0, 10.0)
    x, sigma = torch.rand(SLICES, 6, 5, generator=derive_generator(0)), torch.tensor(0.3)
    torch.testing.assert_close(local(x[2:5], sigma), prior(x, sigma)[2:5])
    assert prior.image_shape == (SLICES, 6, 5)


def test_refuses_what_mixes_slices(part):
    noise, shape = GaussianNoise(0.1), (SLICES, 6, 5)
    blur = Blur(torch.full((3, 3, 3), 1 / 27), shape)
    with pytest.raises(ValueError, match="Blur is no SliceStack; an operator that mixes slices"):
        local_likelihood(Likelihood(blur, noise, torch.zeros(shape)), part)
    correlated = CorrelatedGaussianNoise(torch.eye(SLICES), axis=-3)
    stack = SliceStack(Identity((6, 5)), SLICES)
    with pytest.raises(ValueError, match="the noise of different slices is correlated"):
        local_likelihood(Likelihood(stack, correlated, torch.zeros(shape)), part)
    with pytest.raises(ValueError, match="GaussianPrior is no prior of independent slices"):
        local_prior(GaussianPrior(torch.zeros(shape), 1.0), part)
    with pytest.raises(ValueError, match="expected 7 slices along axis -3, got"):
        local_slices(torch.zeros(6, 6, 5), part)


def test_a_sampler_refuses_a_whole_operator_with_a_part_of_the_slices(part):
    likelihood, prior = rank_runs.problem("float32")
    with pytest.raises(ValueError, match="holds 3 of 7 slices here, the operator takes 7"):
        RedDiff3D().sample(likelihood, prior, generator=derive_generator(0), split=part)


def test_the_whole_is_its_own_gathering():
    x = rank_runs.numbered_slices()
    whole = Whole(SLICES)
    assert whole.gather(x) is x
    assert whole.collect(x) is x
    assert whole.is_main
