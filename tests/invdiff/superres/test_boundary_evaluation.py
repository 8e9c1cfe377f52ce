from __future__ import annotations

from typing import Any

import pytest
import torch
from boundary_oracle import DECAYING, exact_ode, exact_pairs, mse_in_traces
from torch import Tensor

from invdiff.rng import derive_generator
from invdiff.superres.boundary import (
    BoundaryCost,
    RandomBoundary,
    SharedBoundary,
    ZeroBoundary,
    tiled,
)
from invdiff.superres.boundary_scores import BoundaryComparison
from invdiff.superres.evaluation import compare_boundaries
from invdiff.superres.pairs import Boundary, Pairs
from invdiff.superres.search import search_boundary
from operators import Matrix

TRACE = float(DECAYING.sum())


def compared(
    boundaries: dict[str, Boundary], references: Pairs, held_out: Pairs, **options: Any
) -> BoundaryComparison:
    options = {
        "generator": torch.Generator().manual_seed(0),
        "metrics": {"mse": mse_in_traces()},
        "ode": exact_ode(),
        **options,
    }
    return compare_boundaries(
        boundaries=boundaries, references=references, held_out=held_out, **options
    )


@pytest.fixture
def sets(generator: torch.Generator) -> tuple[Pairs, Pairs]:
    return exact_pairs(12, generator), exact_pairs(7, generator)


def zero() -> ZeroBoundary:
    return ZeroBoundary(exact_ode().denoiser)


def optimum_of(pairs: Pairs) -> Tensor:
    r"""Return S^(-1/2) mean error, the x_T that is best on these pairs."""
    return (pairs.truths - pairs.measurements).mean(0) / DECAYING.sqrt()


def test_zero_and_random_boundaries_have_the_closed_form_losses(
    generator: torch.Generator,
) -> None:
    many = exact_pairs(800, generator), exact_pairs(800, generator)
    score = compared({"zero": zero()}, *many, num_random=300).score("zero", "mse")
    spread = (2 * (DECAYING**2).sum()).sqrt() / TRACE
    for part in (score.reference, score.held_out):
        # |e|^2 and x' S x have the same spread: 4.5 standard errors of each
        assert part.loss == pytest.approx(1, abs=float(4.5 * spread / 800**0.5))
        assert part.random_mean == pytest.approx(2, abs=float(4.5 * spread / 300**0.5) + 0.1)
        assert part.random_std == pytest.approx(float(spread), rel=0.15)


def test_scores_are_means_and_deviations_of_the_losses(sets: tuple[Pairs, Pairs]) -> None:
    ode, metric, held_out = exact_ode(), mse_in_traces(), sets[1]
    seeds = [torch.Generator().manual_seed(seed) for seed in range(5)]
    randoms = torch.stack([torch.randn(64, generator=g, dtype=torch.float64) for g in seeds])
    made = {str(i): SharedBoundary(x, ode.denoiser) for i, x in enumerate(randoms)}
    result = compared(made, *sets)
    losses = torch.stack([metric(ode(x, held_out.measurements), held_out.truths) for x in randoms])
    for i, expected in enumerate(losses):
        score = result.score(str(i), "mse").held_out
        assert score.loss == pytest.approx(float(expected.mean()))
        assert score.gain == pytest.approx((score.random_mean - score.loss) / score.random_std)


def test_standard_error_is_that_of_the_paired_difference(sets: tuple[Pairs, Pairs]) -> None:
    # a metric whose pairs differ by constants only: the difference doesn't vary over them
    def metric(image: Tensor, truth: Tensor) -> Tensor:
        return truth.sum(-1) + (image - truth)[:, 0] + truth[:, 0]

    flat = [Pairs(torch.zeros_like(pairs.measurements), pairs.truths) for pairs in sets]
    score = compared({"zero": zero()}, *flat, metrics={"m": metric}).score("zero", "m")
    assert score.held_out.standard_error == pytest.approx(0, abs=1e-12)
    assert score.reference.loss != pytest.approx(score.held_out.loss)


def test_optimum_of_the_references_is_worse_elsewhere_by_the_trace_over_their_number() -> None:
    excess, optimism = [], []
    for i in range(60):
        sets = (
            exact_pairs(10, derive_generator(i, "a")),
            exact_pairs(40, derive_generator(i, "b")),
        )
        best = SharedBoundary(optimum_of(sets[0]), exact_ode().denoiser)
        result = compared({"zero": zero(), "best": best}, *sets, num_random=2)
        scores = [result.score(name, "mse") for name in ("zero", "best")]
        excess.append(scores[1].held_out.loss - scores[0].held_out.loss)
        optimism.append(scores[1].optimism - scores[0].optimism)
        error = (sets[0].truths - sets[0].measurements).mean(0)
        seen = scores[0].reference.loss - scores[1].reference.loss
        assert seen == pytest.approx(float((error**2).sum()) / TRACE)
    # tr S / R, and twice that much between the two sets; 3 standard errors of 60 runs
    for values, expected in ((excess, 0.1), (optimism, 0.2)):
        slack = 3 * float(torch.tensor(values).std()) / 60**0.5
        assert float(torch.tensor(values).mean()) == pytest.approx(expected, abs=slack)
        assert slack < expected / 2


def test_search_on_few_references_is_optimistic() -> None:
    optimism = []
    for i in range(40):
        streams = derive_generator(i, "references"), derive_generator(i, "held out")
        sets = exact_pairs(5, streams[0]), exact_pairs(80, streams[1])
        ode = exact_ode()
        generator = derive_generator(i, "search")
        found = search_boundary(ode, sets[0], 100, mse_in_traces(), generator=generator)
        result = compared({"found": found.boundary(ode.denoiser)}, *sets, num_random=20)
        score = result.score("found", "mse")
        optimism.append(score.optimism)
        assert score.calls_spent == found.num_calls == 100 * 5 * 3
    values = torch.tensor(optimism)
    assert float(values.mean()) > 3 * float(values.std()) / 40**0.5


def test_random_baseline_is_no_candidate_of_a_search_with_the_same_seed(
    sets: tuple[Pairs, Pairs],
) -> None:
    found = search_boundary(
        exact_ode(), sets[0], 1, mse_in_traces(), generator=torch.Generator().manual_seed(0)
    )
    boundaries: dict[str, Boundary] = {"found": found.boundary(exact_ode().denoiser)}
    seen: list[Tensor] = []

    def metric(image: Tensor, truth: Tensor) -> Tensor:
        seen.append(image)
        return image.sum(-1)

    compared(boundaries, *sets, metrics={"m": metric}, chunk_size=12)
    of_references = [images for images in seen if len(images) == 12]
    same = [torch.equal(images, of_references[-1]) for images in of_references]
    # 20 random boundaries, then the candidate itself
    assert len(same) == 21
    assert not any(same[:-1])


def test_boundary_of_its_own_for_each_image_meets_its_image(sets: tuple[Pairs, Pairs]) -> None:
    by_mean = {pairs.measurements.sum().item(): pairs for pairs in sets}

    def oracle(y: Tensor) -> Tensor:
        return (by_mean[y.sum().item()].truths - y) / DECAYING.sqrt()

    for chunk_size in (1, 5, None):
        score = compared({"oracle": oracle}, *sets, chunk_size=chunk_size).score("oracle", "mse")
        assert score.reference.loss == pytest.approx(0, abs=1e-20)
        assert score.held_out.loss == pytest.approx(0, abs=1e-20)


def test_fresh_random_boundaries_gain_nothing(generator: torch.Generator) -> None:
    many = exact_pairs(2000, generator), exact_pairs(2000, generator)
    fresh = RandomBoundary(exact_ode().denoiser, (64,), generator=generator, shared=False)
    score = compared({"fresh": fresh}, *many, num_random=200).score("fresh", "mse").held_out
    assert score.gain == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("chunk_size", [1, 5, 100])
def test_comparison_does_not_depend_on_chunks(chunk_size: int, sets: tuple[Pairs, Pairs]) -> None:
    first = compared({"zero": zero()}, *sets).scores[0]
    other = compared({"zero": zero()}, *sets, chunk_size=chunk_size).scores[0]
    for part, same in zip(first[2:4], other[2:4], strict=True):
        assert tuple(part) == pytest.approx(tuple(same))


def test_residuals_are_root_mean_squares_in_the_measurement(sets: tuple[Pairs, Pairs]) -> None:
    references, held_out = sets
    doubled = Matrix(2 * torch.eye(64, dtype=torch.float64))
    result = compared({"zero": zero()}, references, held_out, operator=doubled)
    # at x_T = 0 the image is y itself
    expected = held_out.measurements.square().mean().sqrt()
    assert result.scores[0].residual == pytest.approx(float(expected))
    of_truth = (2 * held_out.truths - held_out.measurements).square().mean().sqrt()
    assert result.truth_residual == pytest.approx(float(of_truth))
    # 2 (y + S^(1/2) x_T) - y for x_T ~ N(0, I); 20 draws of an effective dimension of 4.6
    of_random = float((expected**2 + 4 * TRACE / 64).sqrt())
    assert result.random_residual == pytest.approx(of_random, rel=0.1)
    plain = compared({"zero": zero()}, *sets)
    assert plain.scores[0].residual is plain.random_residual is plain.truth_residual is None


def test_calls_of_the_boundary_are_added(sets: tuple[Pairs, Pairs]) -> None:
    class Costly:
        cost = BoundaryCost(per_image=2, once=11)

        def __call__(self, y: Tensor) -> Tensor:
            return torch.zeros_like(y)

    result = compared({"zero": zero(), "costly": Costly()}, *sets)
    calls = [(score.calls_per_image, score.calls_spent) for score in result.scores]
    assert calls == [(3, 0), (5, 11)]


def test_every_boundary_is_scored_under_every_metric(sets: tuple[Pairs, Pairs]) -> None:
    metrics = {"mse": mse_in_traces(), "mae": lambda image, truth: (image - truth).abs().mean(-1)}
    boundaries = {"zero": zero(), "one": lambda y: torch.ones_like(y[0])}
    result = compared(boundaries, *sets, metrics=metrics)
    names = [(score.boundary, score.metric) for score in result.scores]
    assert names == [("zero", "mse"), ("zero", "mae"), ("one", "mse"), ("one", "mae")]
    mae = (sets[1].measurements - sets[1].truths).abs().mean()
    assert result.score("zero", "mae").held_out.loss == pytest.approx(float(mae))
    lines = result.markdown().splitlines()
    assert len(lines) == 2 + 4
    assert len({line.count("|") for line in lines}) == 1
    assert f"{result.score('one', 'mae').held_out.loss:.4g}" in lines[-1]
    with pytest.raises(KeyError):
        result.score("two", "mse")


def test_held_out_images_may_be_larger(generator: torch.Generator) -> None:
    class Ode:
        num_calls = calls_per_image = 1

        def __call__(self, x: Tensor, y: Tensor) -> Tensor:
            return y + x

        def center(self, y: Tensor) -> Tensor:
            return y

    ode: Any = Ode()
    patch = torch.randn(4, 4, generator=generator)
    shared = SharedBoundary(patch, ode)
    references = Pairs(torch.zeros(2, 4, 4), torch.randn(2, 4, 4, generator=generator))
    held_out = Pairs(torch.zeros(3, 6, 10), tiled(patch, (6, 10)).expand(3, 6, 10))
    metrics = {"mse": lambda image, truth: (image - truth).square().mean((-2, -1))}
    result = compared({"shared": shared}, references, held_out, ode=ode, metrics=metrics)
    assert result.scores[0].held_out.loss == 0


def test_sets_that_share_an_image_are_refused(sets: tuple[Pairs, Pairs]) -> None:
    references, held_out = sets
    truths = torch.cat([held_out.truths, references.truths[3:4]])
    leaky = Pairs(torch.cat([held_out.measurements, held_out.measurements[:1]]), truths)
    with pytest.raises(ValueError, match=r"1 held-out images are also references, the first .* 7"):
        compared({"zero": zero()}, references, leaky)


def test_comparisons_of_nothing_are_refused(sets: tuple[Pairs, Pairs]) -> None:
    references, held_out = sets
    with pytest.raises(ValueError, match="at least one boundary"):
        compared({}, *sets)
    with pytest.raises(ValueError, match="at least one boundary"):
        compared({"zero": zero()}, *sets, metrics={})
    with pytest.raises(ValueError, match="num_random"):
        compared({"zero": zero()}, *sets, num_random=1)
    with pytest.raises(ValueError, match="held_out"):
        compared({"zero": zero()}, references, Pairs(*(part[:0] for part in held_out)))


def test_single_pair_has_no_standard_error(sets: tuple[Pairs, Pairs]) -> None:
    single = Pairs(*(part[:1] for part in sets[1]))
    part = compared({"zero": zero()}, sets[0], single).scores[0].held_out
    assert part.standard_error != part.standard_error
    assert part.gain == part.gain
