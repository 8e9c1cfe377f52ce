"""A search of the boundary condition that learns from its trials: CMA-ES on a few parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invdiff.rng import draw_seeds
from invdiff.superres.boundary import FoundBoundary
from invdiff.superres.boundary_losses import check_pairs, mean_loss
from invdiff.superres.ode import SuperResolutionOde
from invdiff.superres.pairs import Metric, Pairs
from invdiff.superres.spectral_basis import SpectralBasis

__all__ = ["SpectralSearch", "search_spectral"]


@dataclass(frozen=True, kw_only=True)
class SpectralSearch(FoundBoundary):
    """What a search found, and what it cost.

    Args:
        parameters: Theta of the x_T of lowest loss.
        loss: Its mean loss over the reference pairs, which the search has made optimistic.
        history: That loss of every trial in order, ``(trials,)``, float64.
    """

    parameters: Tensor
    loss: float
    history: Tensor


def search_spectral(
    ode: SuperResolutionOde,
    references: Pairs,
    basis: SpectralBasis,
    metric: Metric,
    *,
    num_trials: int,
    population: int | None = None,
    separable: bool = False,
    generator: torch.Generator,
) -> SpectralSearch:
    r"""Search a shared boundary by CMA-ES :cite:p:`hansen2016` over the parameters of a basis.

    .. math:: \min_\theta \frac{1}{R} \sum_{r=1}^R L\bigl(h(x_T(\theta), y_r), z_r\bigr)

    Each generation is drawn from a Gaussian that moves to the better half of the last. The first
    trial is the start of the basis, the last one the mean of that Gaussian, which is often better
    than any draw. As many trials cost as many network calls as the search among as many random
    boundaries :cite:p:`ma2024`.

    Args:
        ode: h.
        references: The R pairs (z_r, y_r).
        basis: x_T(theta).
        metric: L.
        num_trials: Boundaries that are tried, at least 1; those that don't fill a generation are
            tried all the same.
        population: Trials a generation, at least 2; None: 4 + 3 ln(parameters).
        separable: Keep the Gaussian's covariance diagonal, which learns faster where there are
            hundreds of parameters; it needs two.
        generator: The only source of randomness: the same one gives the same bits.

    Raises:
        ValueError: No trials or pairs, a population below 2, one parameter in a separable search,
            or a loss that isn't finite.
    """
    _check(references, basis, num_trials, population, separable)
    (seed,) = draw_seeds(generator, 1)
    # it loads much of scipy, which every command would wait for
    from cmaes import CMA, SepCMA

    optimizer = (SepCMA if separable else CMA)(
        mean=basis.start.numpy().copy(),
        sigma=basis.spread,
        # numpy takes 32 bits
        seed=seed % 2**32,
        population_size=population,
    )

    def judged(point: np.ndarray) -> tuple[np.ndarray, float]:
        boundary = basis(torch.from_numpy(point))
        return point, mean_loss(ode, boundary, references, metric)

    trials = [judged(basis.start.numpy().copy())]
    while len(trials) < num_trials - 1:
        size = min(optimizer.population_size, num_trials - 1 - len(trials))
        generation = [judged(optimizer.ask()) for _ in range(size)]
        trials += generation
        if size == optimizer.population_size:
            optimizer.tell(generation)
    if num_trials > 1:
        # a copy: the optimizer moves its mean in place
        trials.append(judged(optimizer.mean.copy()))

    point, loss = min(trials, key=lambda trial: trial[1])
    parameters = torch.from_numpy(point)
    history = torch.tensor([loss for _, loss in trials], dtype=torch.float64)
    num_calls = num_trials * len(references.truths) * ode.calls_per_image
    return SpectralSearch(
        x_T=basis(parameters),
        parameters=parameters,
        loss=loss,
        history=history,
        num_calls=num_calls,
    )


def _check(
    references: Pairs,
    basis: SpectralBasis,
    num_trials: int,
    population: int | None,
    separable: bool,
) -> None:
    check_pairs("references", references)
    if num_trials < 1:
        raise ValueError(f"num_trials: expected at least 1, got {num_trials}")
    if population is not None and population < 2:
        raise ValueError(f"population: expected at least 2, got {population}")
    if separable and len(basis.start) < 2:
        raise ValueError("search_spectral: a separable search needs two parameters or more")
