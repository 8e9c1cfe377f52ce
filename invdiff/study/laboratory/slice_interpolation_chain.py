"""The exact case of a gap between two slices: a Gaussian chain, drawn in several ways."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from invdiff.priors import AR1VolumePrior
from invdiff.rng import derive_generator
from invdiff.samplers import HeunSampler
from invdiff.study.scripted import Arrays
from invdiff.volumes import BidirectionalSampler, EndsProduct, OneEnd

__all__ = ["WAYS", "chain_moments"]

WAYS = ("exact", "one-end", "bidirectional", "product")
_FIRST, _LAST = 1.5, -1.5
_STEPS = {"one-end": 40, "bidirectional": 100, "product": 40}


def chain_moments(gap: int, correlation: float, num_samples: int, seed: int) -> Arrays:
    """Draw the gap between a bright and a dark slice of one pixel, of a chain of variance 1.

    Returns:
        "mean_WAY" and "std_WAY" of each slice of the gap, and of each but the exact way the
        errors "error_mean_WAY" (root mean square) and "error_covariance_WAY" (relative).
    """
    mean, covariance = _exact(gap, correlation)
    arrays: Arrays = {
        "ends": np.array([_FIRST, _LAST]),
        "mean_exact": mean.numpy(),
        "std_exact": torch.diagonal(covariance).sqrt().numpy(),
    }
    for way, x in _drawn(gap, correlation, num_samples, seed).items():
        off, spread = x.mean(0) - mean, torch.cov(x.T).reshape(gap, gap) - covariance
        arrays[f"mean_{way}"] = x.mean(0).numpy()
        arrays[f"std_{way}"] = x.std(0).numpy()
        arrays[f"error_mean_{way}"] = off.square().mean().sqrt().numpy()
        arrays[f"error_covariance_{way}"] = (spread.norm() / covariance.norm()).numpy()
    return arrays


def _exact(gap: int, correlation: float) -> tuple[Tensor, Tensor]:
    whole = AR1VolumePrior((gap + 2, 1, 1), correlation)
    values = torch.zeros(gap + 2, 1, 1, dtype=torch.float64)
    values[0], values[-1] = _FIRST, _LAST
    known = torch.zeros(gap + 2, dtype=torch.bool)
    known[0] = known[-1] = True
    mean, covariance = whole.conditional(known, values)
    return mean[1:-1, 0, 0], covariance[1:-1, 1:-1]


def _drawn(gap: int, correlation: float, num_samples: int, seed: int) -> dict[str, Tensor]:
    chain = AR1VolumePrior((gap + 1, 1, 1), correlation)
    before = OneEnd(chain, _slice(_FIRST))
    behind = OneEnd(chain, _slice(_LAST), reverse=True)
    product = EndsProduct(before, behind, AR1VolumePrior((gap, 1, 1), correlation))
    real = torch.float64
    streams = {way: derive_generator(seed, "chain", way) for way in WAYS[1:]}
    heun = {way: HeunSampler(num_steps=_STEPS[way], sigma_min=1e-3) for way in _STEPS}
    samples = {
        "one-end": heun["one-end"].sample(
            before, num_samples, generator=streams["one-end"], dtype=real
        ),
        "bidirectional": BidirectionalSampler(num_steps=_STEPS["bidirectional"]).sample(
            before, behind, num_samples, generator=streams["bidirectional"], dtype=real
        ),
        "product": heun["product"].sample(
            product, num_samples, generator=streams["product"], dtype=real
        ),
    }
    return {way: each.values[..., 0, 0].detach() for way, each in samples.items()}


def _slice(value: float) -> Tensor:
    return torch.full((1, 1), value, dtype=torch.float64)
