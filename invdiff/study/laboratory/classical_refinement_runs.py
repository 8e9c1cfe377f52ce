"""Pairs of true and rough images, and what a refiner makes of those it hasn't seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.classical import total_variation
from invdiff.metrics import psnr
from invdiff.rng import derive_generator
from invdiff.study.laboratory.classical_refinement_scans import FewLines, FewViews
from invdiff.study.scripted import Arrays
from invdiff.study.slices import Split, grey_levels, spread_rows
from invdiff.superres.network_prior import SuperResolutionPrior
from invdiff.superres.shifted_diffusion import ShiftedDiffusion

__all__ = ["RoughPairs", "judged", "rough_pairs", "spread_over_error"]

_NUM_TV_STEPS = 300
# images scanned at once
_CHUNK = 256
# samples that agree everywhere would leave the data no say
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, eq=False)
class RoughPairs:
    """Images in [0, 1] and their classical reconstructions, ``(images, side, side)`` each."""

    truth: Tensor
    rough: Tensor


def _images(slices: Tensor) -> Tensor:
    return slices.float() / 255


def rough_pairs(scan: FewViews | FewLines, parts: Split, seed: int) -> RoughPairs:
    """Scan every slice of the training once and reconstruct it.

    Args:
        scan: The measurement.
        parts: Whose training slices they are.
        seed: Of the noise, and of the lines that are measured.
    """
    truth = _images(grey_levels(parts.training))
    operator = scan.operator(truth.shape[-1], derive_generator(seed, "operator"))
    noise = derive_generator(seed, "noise", "training")
    rough = [scan.rough(scan.measured(operator, x, noise)) for x in torch.split(truth, _CHUNK)]
    return RoughPairs(truth, torch.cat(rough))


def judged(
    scan: FewViews | FewLines,
    parts: Split,
    prior: SuperResolutionPrior,
    sampler: ShiftedDiffusion,
    *,
    num_images: int,
    num_samples: int,
    seed: int,
) -> Arrays:
    """Refine held-out slices, and reconstruct them by least total variation.

    Args:
        scan: The measurement, with the lines of the training.
        parts: Whose held-out slices they are.
        prior: For images in [-1, 1].
        sampler: Draws the refined images.
        num_images: Slices, spread over those there are.
        num_samples: Images for each.
        seed: As in the training.

    Returns:
        ``truth``, ``rough``, ``tv``, ``mean``, ``consistent`` (the mean after a step on the data)
        and ``spread`` ``(images, side, side)``, ``samples`` with a leading axis, all of [0, 1];
        ``psnr_*`` in dB of each image, clipped to that range.
    """
    slices = grey_levels(parts.heldout)
    truth = _images(slices[spread_rows(len(slices), num_images)])
    operator = scan.operator(truth.shape[-1], derive_generator(seed, "operator"))
    likelihood = scan.measured(operator, truth, derive_generator(seed, "noise", "heldout"))
    rough = scan.rough(likelihood)
    # one problem each: the discrepancy is that of an image
    tv = total_variation(likelihood, low=0.0, high=1.0, num_steps=_NUM_TV_STEPS)
    drawn = sampler.sample(
        prior, 2 * rough - 1, num_samples, generator=derive_generator(seed, "samples")
    )
    samples = ((drawn.values + 1) / 2).clamp(0, 1)
    mean = samples.mean(0)
    # what the refiner has never seen: the data, against a mean as uncertain as its samples say
    step = samples.var(0).mean((-2, -1)).clamp(min=_LEAST_VARIANCE)
    images = {
        "rough": rough,
        "tv": tv,
        "samples": samples,
        "mean": mean,
        "consistent": likelihood.proximal(mean, step),
    }
    scores = {f"psnr_{k}": psnr(x.clamp(0, 1), truth, data_range=1.0) for k, x in images.items()}
    found = images | scores | {"truth": truth, "spread": samples.std(0)}
    return {name: value.float().numpy() for name, value in found.items()}


def spread_over_error(arrays: Arrays) -> float:
    r"""Return the samples' spread over the error of their mean, 1 if they come from the posterior.

    .. math:: \sqrt{(1 + 1 / N) \overline{s^2} \big/ \overline{(\bar x - x)^2}}

    over all images and pixels, s being the standard deviation of N samples.
    """
    count = len(arrays["samples"])
    error = float(((arrays["mean"] - arrays["truth"]) ** 2).mean())
    return float(((1 + 1 / count) * (arrays["spread"] ** 2).mean() / error) ** 0.5)
