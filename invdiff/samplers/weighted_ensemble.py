"""Weighted particles: their state, their resampling, and what is left of them at the end."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import NumericalWarning
from invdiff.rng import Population
from invdiff.samplers.base import Samples
from invdiff.samplers.resampling import Scheme, ancestors, effective_sample_size, take
from invdiff.samplers.tempered_target import misfit_energy
from invdiff.samplers.tempering import largest_step

__all__ = ["EnsembleInfo", "EnsembleState", "finished", "resampled"]


class EnsembleState(NamedTuple):
    """Particles of a noise level with their weights.

    Args:
        x: Particles, shape ``(num_samples, *problems, *image_shape)``.
        log_weights: Not normalised, float64, ``(num_samples, *problems)``.
        log_evidence: What was taken out of the weights at resamplings, ``problems``.
        temperature: alpha of the data at this level, ``problems``.
        squared_norm: Squared norm of W^(1/2) A, ``problems``.
        source: The streams of the problems.
    """

    x: Tensor
    log_weights: Tensor
    log_evidence: Tensor
    temperature: Tensor
    squared_norm: Tensor
    source: Population


class EnsembleInfo(NamedTuple):
    """What a step did, each of shape ``problems``.

    Args:
        effective_sample_size: Of the weights before resampling, from 1/N to 1.
        resampled: Whether the particles were resampled.
        kept: The power of the weights that was used; 1 unless they were flattened.
        accepted: Share of the proposals that Metropolis' rule took; 1 without it.
    """

    effective_sample_size: Tensor
    resampled: Tensor
    kept: Tensor
    accepted: Tensor


def resampled(
    state: EnsembleState, below: float, scheme: Scheme
) -> tuple[EnsembleState, Tensor, Tensor]:
    """Resample the problems whose effective sample size is low.

    Args:
        state: Not changed.
        below: Effective sample size, as a share of the particles.
        scheme: How ancestors are drawn.

    Returns:
        The state, the effective sample size before, and which problems were resampled.
    """
    count = len(state.x)
    size = effective_sample_size(state.log_weights)
    chosen = size < below
    # drawn for all: to ask which problems need it would make the host wait
    drawn = ancestors(state.log_weights, state.source, scheme)
    stay = torch.arange(count, device=drawn.device).reshape(-1, *(1,) * size.ndim)
    mean = state.log_weights.logsumexp(0) - math.log(count)
    state = state._replace(
        x=take(state.x, torch.where(chosen, drawn, stay)),
        log_weights=torch.where(chosen, 0.0, state.log_weights),
        log_evidence=state.log_evidence + torch.where(chosen, mean, 0.0),
    )
    return state, size, chosen


def finished(
    state: EnsembleState,
    infos: Sequence[EnsembleInfo],
    likelihood: Likelihood,
    flattened_to: float | None,
) -> Samples:
    """Weigh the particles for the exact noise model, and look back on the run.

    Args:
        state: Of the last level, weighted by the Gaussian surrogate of the noise.
        infos: Of all steps.
        likelihood: The exact one.
        flattened_to: The floor of the effective sample size where weights are flattened; then
            there is no evidence.

    Warns:
        NumericalWarning: In some step fewer than two particles had all the weight.
    """
    change = likelihood.log_prob(state.x).double() + misfit_energy(likelihood, state.x)
    if flattened_to is not None:
        whole = torch.ones_like(state.temperature)
        power = largest_step(
            lambda power: state.log_weights + power * change, 0 * whole, whole, flattened_to
        )
        change = power * change
    log_weights = state.log_weights + change
    total = log_weights.logsumexp(0)
    history = EnsembleInfo(*(torch.stack(parts) for parts in zip(*infos, strict=True)))
    _warn_of_collapse(history.effective_sample_size, len(state.x))
    evidence = state.log_evidence + total - math.log(len(state.x))
    if flattened_to is not None:
        evidence = torch.full_like(evidence, math.nan)
    return Samples(state.x, log_weights - total, {"log_evidence": evidence, **history._asdict()})


def _warn_of_collapse(size: Tensor, count: int) -> None:
    """Look at the numbers for the only time: only now may the host wait for the device."""
    lowest, step = (count * size.reshape(len(size), -1).min(1).values).min(0)
    if count > 1 and float(lowest) < 2:
        warnings.warn(
            f"Ensemble: at step {int(step)} the weights left {float(lowest):.2f} of {count} "
            "particles: use more particles or steps, or tempering",
            NumericalWarning,
            stacklevel=4,
        )
