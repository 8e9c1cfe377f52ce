"""Search of one boundary condition that serves all measurements."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from invdiff.rng import draw_seeds
from invdiff.superres.boundary import FoundBoundary
from invdiff.superres.boundary_losses import check_pairs, judge_by, judged, random_draw
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Metric, Pairs

__all__ = ["BoundarySearch", "SearchStep", "search_boundary"]


class SearchStep(NamedTuple):
    """How far a search is: candidates judged, number of the best so far and its mean loss."""

    num_done: int
    best: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class BoundarySearch(FoundBoundary):
    """What a search found.

    Args:
        index: Its number.
        losses: Of every candidate on every reference pair, ``(candidates, pairs)``, float64.
            The mean of the best row is too good, for it was chosen: judge x_T on other pairs.
    """

    index: int
    losses: Tensor

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file of the tensors ``x_T`` and ``losses``."""
        tensors = {"x_T": self.x_T.contiguous(), "losses": self.losses.contiguous()}
        about = {"index": str(self.index), "num_calls": str(self.num_calls)}
        save_file(tensors, path, metadata=about)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, device: torch.device | str = "cpu"
    ) -> BoundarySearch:
        """Read what ``save`` wrote, x_T to the device.

        Raises:
            ValueError: The file is missing or damaged, or no such file.
        """
        try:
            with safe_open(Path(path), framework="pt") as file:
                about = file.metadata() or {}
                x, losses = file.get_tensor("x_T").to(device), file.get_tensor("losses")
            numbers = {name: int(about[name]) for name in ("index", "num_calls")}
            return cls(x_T=x, losses=losses, **numbers)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path}: not a boundary search ({error})") from error


def search_boundary(
    ode: SuperResolutionOde,
    references: Pairs,
    num_candidates: int,
    metric: Metric,
    *,
    generator: torch.Generator,
    chunk_size: int | None = None,
    callback: Callable[[SearchStep], None] | None = None,
) -> BoundarySearch:
    r"""Return the best of K boundaries for R reference pairs, to be used for all measurements.

    .. math:: x_T^* = \arg\min_{x_T^{(k)} \sim N(0, I),\ k < K}
        \frac{1}{R} \sum_{r = 1}^R \ell\bigl(h(x_T^{(k)}, y_r), z_r\bigr)

    after :cite:t:`ma2024`. Candidate k depends on the generator and k only, not on K or the
    chunks; the losses depend on the chunks by rounding.

    Args:
        ode: h.
        references: y and z; all images of one shape, which is that of x_T.
        num_candidates: K; the search takes K R times the calls of the ODE.
        metric: The loss.
        generator: Gives one seed.
        chunk_size: Images that are solved for together, candidates times references; None: as
            many as fit about 2^20 pixels on a CPU, 2^24 on a GPU.
        callback: Called whenever some candidates have been judged.

    Raises:
        ValueError: No candidates or pairs, or a loss that is not finite.
    """
    check_pairs("references", references)
    if num_candidates < 1:
        raise ValueError(f"num_candidates: expected at least 1, got {num_candidates}")
    (seed,), like = draw_seeds(generator, 1), references.truths[0]
    draw = random_draw(seed, "candidate", like=like, device=generator.device)
    done = torch.empty(0, len(references.truths), dtype=torch.float64)
    for (block,) in judged(ode, draw, num_candidates, references, [judge_by(metric)], chunk_size):
        done = torch.cat([done, _finite(block, len(done))])
        if callback is not None:
            callback(_step(done))
    index = _step(done).best
    # drawn once more: the candidates are never all in memory
    best = draw(slice(index, index + 1), slice(None))[0, 0]
    return BoundarySearch(
        x_T=best, index=index, losses=done, num_calls=done.numel() * ode.calls_per_image
    )


def _step(losses: Tensor) -> SearchStep:
    means = losses.mean(1)
    index = int(means.argmin())
    return SearchStep(len(losses), index, float(means[index]))


def _finite(block: Tensor, first: int) -> Tensor:
    """Refuse a loss that is not finite: argmin would choose it."""
    bad = (~block.isfinite().all(1)).nonzero()
    if len(bad):
        raise ValueError(
            f"search_boundary: the loss of candidate {first + int(bad[0])} is not finite"
        )
    return block
