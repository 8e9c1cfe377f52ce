"""A mixture that is known exactly, split by component: the identity, and what top-k costs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.priors import GaussianMixturePrior
from invdiff.priors.experts import RoutedPrior
from invdiff.priors.routing import MixtureRouter, combined, mass_left_out, mixture_components
from invdiff.rng import derive_generator
from invdiff.study.scripted import Metrics

__all__ = ["DISTANCES", "LEVELS", "exact_check"]

# between neighbouring means, in standard deviations of a part
DISTANCES = (1.0, 3.0, 10.0)
LEVELS = (0.1, 0.3, 1.0, 3.0, 10.0)
_PARTS, _SIDE = 4, 4


def exact_check(num_points: int, seed: int) -> Metrics:
    """Compare routed priors with the whole mixture on noisy draws from it, in float64.

    Args:
        num_points: Of each distance and noise level.
        seed: Of mixtures and points.

    Returns:
        "identity": the largest difference of any pixel with all experts; "top_1", "top_2": root
        mean square errors over the standard deviation of the data, a list of levels for each
        distance; "bound_1", "bound_2": the bounds that they keep to, in the same way.
    """
    metrics: Metrics = {"identity": 0.0}
    for name in ("top_1", "top_2", "bound_1", "bound_2"):
        metrics[name] = []
    for distance in DISTANCES:
        mixture = _mixture(distance, derive_generator(seed, "mixture"))
        rows = [_compared(mixture, level, num_points, seed) for level in LEVELS]
        metrics["identity"] = max(metrics["identity"], *(row["identity"] for row in rows))
        for name in ("top_1", "top_2", "bound_1", "bound_2"):
            metrics[name].append([row[name] for row in rows])
    return metrics


def _mixture(distance: float, generator: torch.Generator) -> GaussianMixturePrior:
    n = _SIDE**2
    directions = torch.randn(_PARTS, n, generator=generator, dtype=torch.float64)
    directions = torch.linalg.qr(directions.mT).Q.mT
    factors = torch.randn(_PARTS, n, n, generator=generator, dtype=torch.float64) / math.sqrt(n)
    covariances = (factors @ factors.mT + torch.eye(n, dtype=torch.float64)) / 2
    means = distance / math.sqrt(2) * directions
    weights = torch.arange(1.0, _PARTS + 1, dtype=torch.float64)
    return GaussianMixturePrior(weights, means.reshape(_PARTS, _SIDE, _SIDE), covariances)


def _compared(
    mixture: GaussianMixturePrior, level: float, num_points: int, seed: int
) -> dict[str, float]:
    generator = derive_generator(seed, "points")
    sigma = torch.tensor(level, dtype=torch.float64)
    clean = mixture.sample(num_points, generator=generator)
    x = clean + sigma * torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
    parts = mixture_components(mixture)
    router = MixtureRouter(mixture.weights, parts)
    denoised, log_weights = torch.stack([part(x, sigma) for part in parts]), router(x, sigma)
    whole = mixture(x, sigma)
    spread = (denoised[:, None] - denoised).flatten(3).norm(dim=-1).amax((0, 1))
    scale = math.sqrt(float(mixture.covariance().trace()))
    row = {"identity": float((combined(denoised, log_weights) - whole).abs().max())}
    for top in (1, 2):
        found = RoutedPrior(parts, router, top=top)(x, sigma)
        row[f"top_{top}"] = _root_mean_square((found - whole).flatten(1).norm(dim=1)) / scale
        bound = mass_left_out(log_weights, top) * spread
        row[f"bound_{top}"] = _root_mean_square(bound) / scale
    return row


def _root_mean_square(x: Tensor) -> float:
    return float((x**2).mean().sqrt())
