from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from boundary_oracle import DECAYING, exact_ode, exact_pairs, expected_mse, mse_in_traces
from torch import Tensor

from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.superres.exact import ExactConditional
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Pairs
from invdiff.superres.search import BoundarySearch, SearchStep, search_boundary
from operators import Matrix

# mean over all pairs of the best of K, by 10^6 draws of x' S x, in units of tr S
BEST_OF = {10: 1.390, 100: 1.254, 1000: 1.190}
# E max of 10 standard normals
MAX_OF_10 = 1.5388


def first_value(image: Tensor, truth: Tensor) -> Tensor:
    return image[:, 0]


def searched(num_candidates: int, pairs: Pairs, seed: int = 0, **options: Any) -> BoundarySearch:
    generator, metric = torch.Generator().manual_seed(seed), mse_in_traces()
    options = {"ode": exact_ode(), "metric": metric, **options}
    return search_boundary(
        references=pairs, num_candidates=num_candidates, generator=generator, **options
    )


def test_best_candidate_has_the_least_mean_loss(generator: torch.Generator) -> None:
    pairs = exact_pairs(6, generator)
    found = searched(40, pairs)
    assert found.losses.shape == (40, 6)
    means = found.losses.mean(1)
    assert int(means.argmin()) == found.index
    losses = mse_in_traces()(exact_ode()(found.x_T, pairs.measurements), pairs.truths)
    torch.testing.assert_close(losses, found.losses[found.index])


@pytest.mark.parametrize("chunk_size", [None, 1, 3, 10, 1000])
@pytest.mark.parametrize("num_candidates", [1, 7, 12])
def test_candidate_depends_on_its_number_only(
    num_candidates: int, chunk_size: int | None, generator: torch.Generator
) -> None:
    # with h = x_T and its first value as the loss, the losses show the candidates
    pairs = exact_pairs(5, generator)
    zero = Pairs(torch.zeros_like(pairs.measurements), pairs.truths)
    options = {"ode": exact_ode(torch.ones_like(DECAYING)), "metric": first_value}
    found = searched(num_candidates, zero, chunk_size=chunk_size, **options)
    expected = searched(12, Pairs(*(part[:1] for part in zero)), **options).losses
    assert expected.unique().numel() == 12
    assert torch.equal(found.losses, expected[:num_candidates].expand(num_candidates, 5))
    assert float(found.x_T[0]) == float(found.losses[found.index, 0])


def test_runs_are_bit_identical(generator: torch.Generator) -> None:
    pairs = exact_pairs(5, generator)
    first, second, other = searched(20, pairs), searched(20, pairs), searched(20, pairs, seed=1)
    assert torch.equal(first.x_T, second.x_T)
    assert torch.equal(first.losses, second.losses)
    assert not torch.equal(first.losses, other.losses)


@pytest.mark.parametrize("chunk_size", [1, 4, 5, 12, 1000])
def test_chunks_bound_the_images_and_lose_none(chunk_size: int, generator: torch.Generator) -> None:
    ode, pairs = exact_ode(), exact_pairs(5, generator)
    found = searched(7, pairs, ode=ode, chunk_size=chunk_size)
    assert max(ode.batches) <= chunk_size
    assert sum(ode.batches) == 35
    torch.testing.assert_close(found.losses, searched(7, pairs).losses)


def test_several_candidates_share_a_batch(generator: torch.Generator) -> None:
    ode, pairs = exact_ode(), exact_pairs(5, generator)
    searched(7, pairs, ode=ode, chunk_size=16)
    assert ode.batches == [15, 15, 5]


def test_calls_are_those_of_the_network(generator: torch.Generator) -> None:
    ode, pairs = exact_ode(), exact_pairs(5, generator)
    assert searched(7, pairs, ode=ode).num_calls == sum(ode.batches) * ode.num_calls


def test_callback_sees_the_best_so_far(generator: torch.Generator) -> None:
    pairs, steps = exact_pairs(5, generator), list[SearchStep]()
    found = searched(7, pairs, chunk_size=10, callback=steps.append)
    means = found.losses.mean(1)
    assert [step.num_done for step in steps] == [2, 4, 6, 7]
    for step in steps:
        assert step.best == int(means[: step.num_done].argmin())
        assert step.loss == pytest.approx(float(means[step.best]))


def test_saved_search_returns_bit_by_bit(tmp_path: Path, generator: torch.Generator) -> None:
    pairs = exact_pairs(5, generator)
    found = searched(7, Pairs(*(part.float() for part in pairs)))
    found.save(tmp_path / "boundary.safetensors")
    loaded = BoundarySearch.load(tmp_path / "boundary.safetensors")
    assert torch.equal(loaded.x_T, found.x_T)
    assert loaded.x_T.dtype == torch.float32
    assert torch.equal(loaded.losses, found.losses)
    assert (loaded.index, loaded.num_calls) == (found.index, found.num_calls)


def test_load_refuses_other_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no tensors here")
    for name in ("text", "missing"):
        with pytest.raises(ValueError, match="not a boundary search"):
            BoundarySearch.load(tmp_path / name)


def test_found_boundary_carries_the_cost_of_its_search(generator: torch.Generator) -> None:
    ode, pairs = exact_ode(), exact_pairs(5, generator)
    found = searched(7, pairs)
    boundary = found.boundary(ode.denoiser)
    assert torch.equal(boundary(pairs.measurements), found.x_T)
    assert boundary.cost == (0, found.num_calls)


def test_bad_input_is_refused(generator: torch.Generator) -> None:
    pairs = exact_pairs(5, generator)
    with pytest.raises(ValueError, match="num_candidates"):
        searched(0, pairs)
    with pytest.raises(ValueError, match="chunk_size"):
        searched(3, pairs, chunk_size=0)
    for bad in (Pairs(pairs.measurements, pairs.truths[:4]), Pairs(*(part[:0] for part in pairs))):
        with pytest.raises(ValueError, match="references"):
            searched(3, bad)
    with pytest.raises(ValueError, match="one loss for each"):
        searched(3, pairs, metric=lambda image, truth: (image - truth).square().mean())


@pytest.mark.parametrize(("num_pairs", "candidate"), [(1, 6), (2, 3), (4, 1)])
def test_loss_that_is_not_finite_is_refused_by_number(
    num_pairs: int, candidate: int, generator: torch.Generator
) -> None:
    chunks: list[int] = []

    def metric(image: Tensor, truth: Tensor) -> Tensor:
        losses = image.sum(-1)
        if chunks:
            losses[2] = torch.nan
        chunks.append(len(losses))
        return losses

    # four images at a time: the third one of the second chunk
    with pytest.raises(ValueError, match=f"candidate {candidate} "):
        searched(8, exact_pairs(num_pairs, generator), metric=metric, chunk_size=4)


@pytest.mark.parametrize(("num_candidates", "repetitions"), [(10, 100), (100, 20), (1000, 4)])
def test_best_of_many_reaches_the_closed_form(num_candidates: int, repetitions: int) -> None:
    values = []
    for i in range(repetitions):
        pairs = exact_pairs(300, derive_generator(0, num_candidates, i))
        values.append(expected_mse(searched(num_candidates, pairs, seed=i).x_T))
    mean = torch.tensor(values).mean()
    # three standard errors of the repetitions, and 0.012 for the noise of 300 references
    slack = 3 * torch.tensor(values).std() / repetitions**0.5
    assert BEST_OF[num_candidates] - slack < mean < BEST_OF[num_candidates] + 0.012 + slack


def test_gain_of_a_search_is_set_by_the_effective_dimension() -> None:
    # (tr S)^2 / tr S^2 = 400: the losses are almost normal, 2 +- sqrt(2 / 400)
    isotropic = torch.ones(400, dtype=torch.float64)
    best = []
    for i in range(60):
        pairs = exact_pairs(40, derive_generator(1, i), isotropic)
        options = {"ode": exact_ode(isotropic), "metric": mse_in_traces(isotropic)}
        best.append(searched(10, pairs, seed=i, **options).losses.mean(1).min())
    gain = 2 - torch.stack(best).mean()
    # five percent of the gain, for skewness and the noise of the references; 0.02 for 60 runs
    assert float(gain) == pytest.approx(MAX_OF_10 * (2 / 400) ** 0.5, abs=0.02 + 0.005)
    decaying = float(2 - torch.tensor(BEST_OF[10]))
    assert gain < decaying / 4


def test_numerical_ode_finds_the_candidate_of_the_exact_one(generator: torch.Generator) -> None:
    # posterior covariance S: prior variances S s^2 / (s^2 - S), identity, noise s = 2
    prior = GaussianPrior(torch.zeros_like(DECAYING), torch.diag(4 * DECAYING / (4 - DECAYING)))
    exact = ExactConditional(prior, Matrix(torch.eye(64, dtype=torch.float64)), 2.0)
    ode = SuperResolutionOde(exact, "ddim", num_calls=60, sigma_max=20.0, sigma_min=1e-3)
    truths = prior.sample(30, generator=generator)
    noise = torch.randn(truths.shape, generator=generator, dtype=torch.float64)
    pairs = Pairs(truths + 2 * noise, truths)
    numerical = searched(30, pairs, ode=ode)
    closed = searched(30, Pairs(exact.posterior_mean(pairs.measurements), truths))
    assert numerical.index == closed.index
    assert torch.equal(numerical.x_T, closed.x_T)
    # the error of a first-order method in 60 steps
    torch.testing.assert_close(numerical.losses, closed.losses, rtol=0.1, atol=0.1)
