"""Boundaries refined by gradients: Adam on x_T through the ODE."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from invdiff.superres.boundary import FoundBoundary
from invdiff.superres.boundary_losses import check_pairs, mean_loss
from invdiff.superres.conditional import ConditionalDenoiser
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Metric, Pairs
from invdiff.superres.refinement_plan import Refinement

__all__ = ["Refined", "refine_boundary"]


@dataclass(frozen=True, kw_only=True)
class Refined(FoundBoundary):
    """A refined boundary; its calls are those of ``Refinement.calls``.

    Args:
        loss: Its mean loss on the references that gave the gradients.
        validation_loss: Its mean loss on those kept apart; NaN without them. It chose the
            boundary, so it is a little too low for others.
        step: Number of steps after which it was found, 0: the start.
        minibatch_losses: Mean loss of the minibatch before each step.
    """

    loss: float
    validation_loss: float
    step: int
    minibatch_losses: list[float]


def refine_boundary(
    ode: SuperResolutionOde,
    references: Pairs,
    start: Tensor,
    metric: Metric,
    refinement: Refinement,
    *,
    generator: torch.Generator,
) -> Refined:
    r"""Lower the loss of a boundary on references by Adam, with gradients through the ODE.

    .. math:: \min_{x_T}\ \tfrac{1}{R} \sum_r \ell(h(x_T, y_r), z_r)

    with the optimiser of :cite:t:`kingma2015`. For a Gaussian posterior of covariance S and the
    squared error the minimum is at :math:`S^{-1/2} \bar e`, with :math:`\bar e` the mean error
    of the posterior mean: tr S (1 + 1/R) on other pairs, where a random boundary has 2 tr S.

    Args:
        ode: h.
        references: Pairs that stand for those that will be solved.
        start: x_T, ``(*image)``, for instance the best of a search.
        metric: Differentiable in the image.
        refinement: How.
        generator: Draws the references kept apart and the minibatches, on any device.

    Raises:
        ValueError: No references, or a loss that is not finite.
    """
    check_pairs("references", references)
    if refinement.shell == "sphere" and not start.any():
        raise ValueError("refine_boundary: x_T = 0 is on no sphere, start elsewhere")
    training, validation = _divided(references, refinement, generator)
    graph_ode = _with_checkpoints(ode) if refinement.checkpointed else ode
    boundary = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([boundary], refinement.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, refinement.num_steps)
    looks, losses = set(refinement.validation_steps()), []
    best = _Candidate(_validated(ode, boundary, validation, metric), 0, boundary.detach().clone())
    for step in range(1, refinement.num_steps + 1):
        optimizer.zero_grad()
        batch = _minibatch(training, refinement.batch_size, generator)
        losses.append(_add_gradient(graph_ode, boundary, batch, metric, refinement.chunk_size))
        if refinement.shell == "sphere":
            _make_tangential(boundary)
        optimizer.step()
        schedule.step()
        if refinement.shell == "sphere":
            _put_on_sphere(boundary)
        if step in looks:
            value = _validated(ode, boundary, validation, metric)
            # without validation the last boundary is kept
            if value < best.loss or not len(validation.truths):
                best = _Candidate(value, step, boundary.detach().clone())
    return Refined(
        x_T=best.boundary,
        loss=mean_loss(ode, best.boundary, training, metric),
        validation_loss=best.loss,
        step=best.step,
        minibatch_losses=losses,
        num_calls=refinement.calls(len(references.truths), ode.calls_per_image),
    )


class _Candidate(NamedTuple):
    loss: float
    step: int
    boundary: Tensor


class _Checkpointed:
    """A denoiser whose calls are repeated in the backward pass instead of remembered."""

    def __init__(self, denoiser: ConditionalDenoiser) -> None:
        self._denoiser, self.data_range = denoiser, denoiser.data_range

    def __call__(self, x: Tensor, sigma: Tensor, y: Tensor) -> Tensor:
        # a denoiser draws nothing, so there is no random state to restore
        denoised: Tensor = checkpoint(
            self._denoiser, x, sigma, y, use_reentrant=False, preserve_rng_state=False
        )
        return denoised

    def center(self, y: Tensor) -> Tensor:
        return self._denoiser.center(y)


def _with_checkpoints(ode: SuperResolutionOde) -> SuperResolutionOde:
    twin = copy.copy(ode)
    twin.denoiser = _Checkpointed(ode.denoiser)
    return twin


def _divided(
    references: Pairs, refinement: Refinement, generator: torch.Generator
) -> tuple[Pairs, Pairs]:
    count = len(references.truths)
    kept = refinement.num_validation(count)
    order = torch.randperm(count, generator=generator, device=generator.device)
    return _chosen(references, order[kept:]), _chosen(references, order[:kept])


def _minibatch(pairs: Pairs, size: int, generator: torch.Generator) -> Pairs:
    count = len(pairs.truths)
    order = torch.randperm(count, generator=generator, device=generator.device)
    return _chosen(pairs, order[:size])


def _chosen(pairs: Pairs, index: Tensor) -> Pairs:
    return Pairs(*(part[index.to(part.device)] for part in pairs))


def _add_gradient(
    ode: SuperResolutionOde, boundary: Tensor, batch: Pairs, metric: Metric, chunk_size: int
) -> float:
    """Add the gradient of the mean loss to that of the boundary, and return the loss."""
    total, count = 0.0, len(batch.truths)
    for y, truths in zip(*(torch.split(part, chunk_size) for part in batch), strict=True):
        share = metric(ode(boundary, y), truths).sum() / count
        share.backward()  # type: ignore[no-untyped-call]
        total += share.item()
    if not math.isfinite(total):
        raise ValueError("refine_boundary: the loss is not finite, try a lower learning_rate")
    return total


@torch.no_grad()
def _make_tangential(boundary: Tensor) -> None:
    # Adam scales each number on its own: of the whole gradient it would make steps that come to
    # rest where the loss on the sphere is not stationary
    gradient = boundary.grad
    assert gradient is not None
    gradient -= (gradient * boundary).sum() / (boundary**2).sum() * boundary


@torch.no_grad()
def _put_on_sphere(boundary: Tensor) -> None:
    boundary *= math.sqrt(boundary.numel()) / torch.linalg.vector_norm(boundary)


def _validated(ode: SuperResolutionOde, boundary: Tensor, pairs: Pairs, metric: Metric) -> float:
    return mean_loss(ode, boundary, pairs, metric) if len(pairs.truths) else math.nan
