"""Simulation-based calibration: where the truth ranks among the samples."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.samplers import Sampler, Samples
from invdiff.theory.diffused import ExactPrior
from operators import LinearOperator, NoiseModel

__all__ = ["rank_counts", "rank_statistics", "simulated_ranks", "uniformity_p_value"]

# what makes the distribution of the statistic a chi-square
_LEAST_EXPECTED = 5
_MOST_BINS = 20


def rank_statistics(
    truths: Tensor, samples: Samples | Tensor, *, generator: torch.Generator
) -> Tensor:
    """Return how many samples lie below the truth, from 0 to N; ties are broken at random.

    Uniform on 0, ..., N over draws of truth and measurement if the samples are from the
    posterior (:cite:t:`talts2018`). A hump in the middle: too wide; at both ends: too narrow;
    a slope: biased.

    Args:
        truths: Real, shape ``(*problems, *image_shape)``, or any statistic of the images.
        samples: Of equal weight, ``(N, *problems, *image_shape)``.
        generator: Breaks the ties.

    Raises:
        ValueError: Weights that differ, or shapes that don't fit.
    """
    values = samples if isinstance(samples, Tensor) else samples.values
    if values.shape[1:] != truths.shape:
        raise ValueError(
            f"rank_statistics: truths of {tuple(truths.shape)} need samples (N, same), got "
            f"{tuple(values.shape)}"
        )
    # log weights may come in float32
    if isinstance(samples, Samples) and not torch.allclose(
        samples.log_weights, samples.log_weights[:1], atol=1e-5
    ):
        raise ValueError("rank_statistics: expected equal weights, resample first")
    below, ties = (values < truths).sum(0), (values == truths).sum(0)
    device = generator.device
    place = torch.rand(truths.shape, generator=generator, device=device, dtype=torch.float64)
    return below + (place.to(ties.device) * (ties + 1)).long()


def rank_counts(ranks: Tensor, num_samples: int, num_bins: int) -> tuple[Tensor, Tensor]:
    """Return the ranks in each bin, and what is expected there; shape ``(num_bins,)`` each.

    Args:
        ranks: From 0 to ``num_samples``.
        num_samples: N.
        num_bins: At most N + 1; bins that hold one rank more than others expect more.

    Raises:
        ValueError: A rank or a number of bins out of range.
    """
    if not 1 <= num_bins <= num_samples + 1 or not bool(
        ((ranks >= 0) & (ranks <= num_samples)).all()
    ):
        raise ValueError(
            f"ranks: expected 0 to {num_samples} in at most {num_samples + 1} bins, got "
            f"{int(ranks.min())} to {int(ranks.max())} in {num_bins}"
        )
    edges = torch.arange(num_samples + 1) * num_bins // (num_samples + 1)
    counts = torch.bincount(edges[ranks.flatten().cpu()], minlength=num_bins)
    share = torch.bincount(edges, minlength=num_bins).double() / (num_samples + 1)
    return counts, share * ranks.numel()


def uniformity_p_value(ranks: Tensor, num_samples: int, num_bins: int | None = None) -> float:
    """Return the chi-square p-value of ranks being uniform; small ones refute the sampler.

    Args:
        ranks: Independent of each other: pixels of one problem are not, unless prior and
            operator act on each by itself.
        num_samples: N.
        num_bins: At most 20 with at least 5 ranks expected in each, if not given.

    Raises:
        ValueError: Too few ranks for two bins, or what ``rank_counts`` refuses.
    """
    from scipy.stats import chi2

    if num_bins is None:
        num_bins = min(_MOST_BINS, num_samples + 1, ranks.numel() // _LEAST_EXPECTED)
    if num_bins < 2:
        raise ValueError(f"uniformity: {ranks.numel()} ranks are too few for two bins")
    counts, expected = rank_counts(ranks, num_samples, num_bins)
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return float(chi2.sf(statistic, num_bins - 1))


def simulated_ranks(
    prior: ExactPrior,
    operator: LinearOperator,
    noise: NoiseModel,
    sampler: Sampler,
    *,
    num_problems: int,
    num_samples: int,
    generator: torch.Generator,
) -> Tensor:
    """Draw truths and measurements, sample, and rank: ``(num_problems, *image_shape)``.

    Args:
        prior: Draws the truths, and is the sampler's denoiser.
        operator: On images of the prior.
        noise: Of the measurements.
        sampler: Must give samples of equal weight.
        num_problems: Truths, solved in one batch.
        num_samples: N for each.
        generator: Of all draws.

    Raises:
        ValueError: What the sampler and ``rank_statistics`` refuse.
    """
    truths = prior.sample(num_problems, generator=generator)
    y = noise.sample(operator(truths), generator=generator)
    samples = sampler.sample(
        Likelihood(operator, noise, y), prior, num_samples, generator=generator
    )
    return rank_statistics(truths, samples, generator=generator)
