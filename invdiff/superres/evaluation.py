"""What a boundary condition gains, on the pairs that chose it and on others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.rng import draw_seeds
from invdiff.superres.boundary import cost_of
from invdiff.superres.boundary_losses import Draw, Judge, check_pairs, judge_by, judged, random_draw
from invdiff.superres.boundary_scores import BoundaryComparison, BoundaryScore, SetScore
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Boundary, Metric, Pairs

__all__ = ["compare_boundaries"]


def compare_boundaries(
    ode: SuperResolutionOde,
    boundaries: Mapping[str, Boundary],
    references: Pairs,
    held_out: Pairs,
    metrics: Mapping[str, Metric],
    *,
    generator: torch.Generator,
    num_random: int = 20,
    operator: Callable[[Tensor], Tensor] | None = None,
    chunk_size: int | None = None,
) -> BoundaryComparison:
    r"""Return what boundaries gain over random ones, on references and on held-out pairs.

    .. math:: \text{gain} = \frac{\bar\ell_{random} - \ell(x_T)}{s_{random}}

    with mean and standard deviation of the mean loss over shared random x_T, the same on both
    sets. The gain on the references includes that they chose the boundary.

    Args:
        ode: h.
        boundaries: By name; each is called with all measurements of a set. The attribute
            ``cost`` says what network calls one takes beside those of the ODE.
        references: Pairs that a search may have seen.
        held_out: Other pairs.
        metrics: By name.
        generator: Gives one seed, of the random boundaries.
        num_random: How many there are, at least 2.
        operator: A, for the residuals; of both sets, which may differ in size.
        chunk_size: Images that are solved for together, see ``search_boundary``.

    Raises:
        ValueError: Sets that share a true image or have no pairs, fewer than 2 random
            boundaries, or no boundaries or metrics.
    """
    _check(boundaries, references, held_out, metrics, num_random)
    judges = [judge_by(metric) for metric in metrics.values()]
    if operator is not None:
        judges.append(_square_residual(operator))
    run, sets = _Run(ode, judges, chunk_size), (references, held_out)
    (seed,) = draw_seeds(generator, 1)
    for pairs in sets:
        if not all(part.isfinite().all() for part in pairs):
            raise ValueError("compare_boundaries: expected finite images and measurements")
    randoms = [run.random(num_random, seed, generator.device, pairs) for pairs in sets]
    scores: list[BoundaryScore] = []
    for name, boundary in boundaries.items():
        seen, unseen = (run.numbers(_start(boundary, pairs), 1, pairs)[:, 0] for pairs in sets)
        cost = cost_of(boundary)
        for m, metric in enumerate(metrics):
            score = BoundaryScore(
                boundary=name,
                metric=metric,
                reference=_set_score(seen[m], randoms[0][m]),
                held_out=_set_score(unseen[m], randoms[1][m]),
                calls_per_image=ode.calls_per_image + cost.per_image,
                calls_spent=cost.once,
                residual=None if operator is None else _root_mean(unseen[-1]),
            )
            scores.append(score)
    return BoundaryComparison(
        scores=tuple(scores),
        num_random=num_random,
        random_residual=None if operator is None else _root_mean(randoms[1][-1]),
        truth_residual=None if operator is None else _truth_residual(operator, held_out),
    )


@dataclass(frozen=True)
class _Run:
    ode: SuperResolutionOde
    judges: list[Judge]
    chunk_size: int | None

    def numbers(self, draw: Draw, count: int, pairs: Pairs) -> Tensor:
        """Return what all judges say of all boundaries, ``(judges, boundaries, pairs)``."""
        blocks = judged(self.ode, draw, count, pairs, self.judges, self.chunk_size)
        return torch.cat(list(blocks), dim=1)

    def random(self, count: int, seed: int, device: torch.device, pairs: Pairs) -> Tensor:
        """Return the same for random boundaries, each shared by all pairs."""
        # a label of its own: with the seed of a search, its candidates would be the baseline
        draw = random_draw(seed, "random", like=pairs.truths[0], device=device)
        return self.numbers(draw, count, pairs)


def _check(
    boundaries: Mapping[str, Boundary],
    references: Pairs,
    held_out: Pairs,
    metrics: Mapping[str, Metric],
    num_random: int,
) -> None:
    check_pairs("references", references)
    check_pairs("held_out", held_out)
    if not boundaries or not metrics:
        raise ValueError("compare_boundaries: expected at least one boundary and one metric")
    if num_random < 2:
        raise ValueError(f"num_random: expected at least 2, got {num_random}")
    seen = {_digest(truth) for truth in references.truths}
    shared = [j for j, truth in enumerate(held_out.truths) if _digest(truth) in seen]
    if shared:
        raise ValueError(
            f"compare_boundaries: {len(shared)} held-out images are also references, the first "
            f"of them {shared[0]}"
        )


def _digest(image: Tensor) -> bytes:
    values = image.detach().to("cpu", torch.float32).contiguous().numpy()
    return hashlib.blake2b(values.tobytes()).digest()


@torch.no_grad()
def _start(boundary: Boundary, pairs: Pairs) -> Draw:
    x, image_ndim = boundary(pairs.measurements), pairs.truths.ndim - 1
    starts = x if x.ndim > image_ndim else x.unsqueeze(0)
    if len(starts) not in (1, len(pairs.truths)):
        raise ValueError(
            f"boundary: expected one x_T, or one for each of {len(pairs.truths)} measurements, "
            f"got {len(starts)}"
        )
    return lambda _, part: starts[None, part] if len(starts) > 1 else starts[None]


def _square_residual(operator: Callable[[Tensor], Tensor]) -> Judge:
    return lambda image, y, truth: (operator(image) - y).abs().square().flatten(1).mean(1)


def _truth_residual(operator: Callable[[Tensor], Tensor], pairs: Pairs) -> float:
    square_residual = _square_residual(operator)
    return _root_mean(square_residual(pairs.truths, pairs.measurements, pairs.truths))


def _root_mean(squares: Tensor) -> float:
    return float(squares.double().mean().sqrt())


def _set_score(losses: Tensor, randoms: Tensor) -> SetScore:
    means = randoms.mean(1)
    difference = losses - randoms.mean(0)
    # a single pair has no spread, of which torch would warn
    spread = difference.std() if len(difference) > 1 else difference.new_tensor(torch.nan)
    return SetScore(
        loss=float(losses.mean()),
        random_mean=float(means.mean()),
        random_std=float(means.std()),
        standard_error=float(spread / len(difference) ** 0.5),
        gain=float((means.mean() - losses.mean()) / means.std()),
    )
