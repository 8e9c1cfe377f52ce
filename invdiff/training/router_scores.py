"""How often a router is right, and how far its probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from invdiff.linalg import expand_right
from invdiff.priors.routing import Router
from invdiff.training.perturbation import GaussianPerturbation

__all__ = ["RouterScore", "router_scores"]

# images that a router is asked about at once
_CHUNK = 1024


class RouterScore(NamedTuple):
    """What a router knows at one noise level.

    Args:
        sigma: The level.
        accuracy: Share of images whose likeliest expert is their own.
        cross_entropy: In nats.
        calibration_error: Mean distance of stated and true probability, see ``router_scores``.
    """

    sigma: float
    accuracy: float
    cross_entropy: float
    calibration_error: float


def router_scores(
    router: Router,
    clean: Tensor,
    expert: Tensor,
    sigmas: Sequence[float],
    *,
    generator: torch.Generator,
    num_bins: int = 10,
) -> list[RouterScore]:
    r"""Score a router on noisy images whose expert is known, at each noise level.

    The expected calibration error :cite:p:`guo2017` compares, in bins B of equal width of the
    highest probability, its mean with how often that expert is right:

    .. math:: \sum_B \frac{|B|}{N} \bigl|\mathrm{acc}(B) - \mathrm{conf}(B)\bigr|

    Args:
        router: Gives log weights.
        clean: x0, ``(count, *image)``.
        expert: k, ``(count,)`` int64.
        sigmas: Noise levels.
        generator: Of the noise, on the device of the images.
        num_bins: Of the probabilities, on [0, 1].
    """
    scores = []
    for level in sigmas:
        sigma = torch.full((len(clean),), level, dtype=clean.dtype, device=clean.device)
        noise = GaussianPerturbation().sample(clean, generator)
        x = clean + expand_right(sigma, clean.ndim - 1) * noise
        with torch.no_grad():
            parts = zip(torch.split(x, _CHUNK), torch.split(sigma, _CHUNK), strict=True)
            log_weights = torch.cat([router(v, s).log_softmax(-1) for v, s in parts])
        confidence, guess = log_weights.exp().max(-1)
        right = (guess == expert).to(confidence)
        scores.append(
            RouterScore(
                level,
                float(right.mean()),
                float(nn.functional.nll_loss(log_weights, expert)),
                _calibration_error(confidence, right, num_bins),
            )
        )
    return scores


def _calibration_error(confidence: Tensor, right: Tensor, num_bins: int) -> float:
    bins = (confidence * num_bins).long().clamp(max=num_bins - 1)
    # |B| (acc - conf) is the sum of the differences
    gaps = torch.zeros(num_bins, dtype=torch.float64, device=confidence.device)
    differences = right.double() - confidence.double()
    return float(gaps.index_add(0, bins, differences).abs().sum() / len(right))
