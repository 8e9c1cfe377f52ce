"""Choosing a boundary for each image by how well what it becomes explains the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right
from invdiff.rng import problem_streams
from invdiff.superres.ode import SuperResolutionOde

__all__ = ["Selection", "select_by_consistency"]


class Selection(NamedTuple):
    """The candidates that explain their measurement best, one or more for each image.

    Attributes:
        images: Mean of the chosen candidates, ``(*batch, *image)``.
        boundaries: x_T of the best candidate, ``(*batch, *image)``.
        misfits: Of the candidates of the last round, best first, ``(candidates, *batch)``; 1 is
            the level of the noise.
        num_calls: Network calls for each image.
    """

    images: Tensor
    boundaries: Tensor
    misfits: Tensor
    num_calls: int


@torch.no_grad()
def select_by_consistency(
    ode: SuperResolutionOde,
    likelihood: Likelihood,
    *,
    num_candidates: int,
    num_averaged: int = 1,
    screens: Sequence[SuperResolutionOde] = (),
    generator: torch.Generator | Sequence[torch.Generator],
) -> Selection:
    r"""Draw boundaries for each measurement and keep the one whose image explains it best.

    .. math:: \arg\min_k \|A\, h(x_T^{(k)}, y) - y\|_W^2, \qquad x_T^{(k)} \sim N(0, 1)

    No true image is needed. The misfit sees A x only: where the posterior's parts in the range
    and in the null space of A are independent, what the null space holds stays a random sample,
    however many candidates there are. A single reconstruction costs K times the calls of the
    ODE; a screen is a cheaper ODE that judges first and passes on the better half, rounded up.

    Args:
        ode: h, of the last round.
        likelihood: A, W and the measurements y ``(*batch, *measurement)``. Without noise any
            level makes the same choice.
        num_candidates: K, at least 1.
        num_averaged: How many of the best are averaged; the part of the error that is random in
            each then falls by that factor.
        screens: ODEs of the earlier rounds, cheapest first.
        generator: One, or one for each measurement. Candidate k doesn't depend on K.

    Raises:
        ValueError: No candidates, or more to be averaged than reach the last round.
    """
    survivors = num_candidates
    for _ in screens:
        survivors = (survivors + 1) // 2
    if not 1 <= num_averaged <= survivors:
        raise ValueError(
            f"select_by_consistency: cannot average {num_averaged} of {survivors} candidates"
        )
    streams = problem_streams(generator, num_candidates, likelihood.batch_shape)
    boundaries = streams.normal(likelihood.image_shape, like=likelihood.y.real)
    num_calls = 0
    for screen in screens:
        num_calls += len(boundaries) * screen.calls_per_image
        _, misfits = _judged(screen, boundaries, likelihood)
        boundaries = _best(boundaries, misfits, (len(boundaries) + 1) // 2)
    num_calls += len(boundaries) * ode.calls_per_image
    images, misfits = _judged(ode, boundaries, likelihood)
    chosen = _best(images, misfits, num_averaged).mean(0)
    return Selection(chosen, _best(boundaries, misfits, 1)[0], misfits.sort(0).values, num_calls)


def _judged(
    ode: SuperResolutionOde, boundaries: Tensor, likelihood: Likelihood
) -> tuple[Tensor, Tensor]:
    """Return the images of all candidates, and their misfits ``(candidates, *batch)``."""
    images = torch.stack([ode(boundary, likelihood.y) for boundary in boundaries])
    return images, torch.stack([likelihood.residual_over_noise(image) for image in images])


def _best(candidates: Tensor, misfits: Tensor, count: int) -> Tensor:
    """Return the candidates of lowest misfit for each image, best first."""
    order = misfits.argsort(dim=0, stable=True)[:count]
    order = expand_right(order, candidates.ndim - misfits.ndim)
    return candidates.take_along_dim(order, 0)
