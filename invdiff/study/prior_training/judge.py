"""What a trained prior does on slices it hasn't seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from invdiff.priors import PretrainedPrior
from invdiff.rng import derive_generator
from invdiff.samplers.heun import HeunSampler
from invdiff.study.scripted import Arrays
from invdiff.training.denoising import denoising_psnr
from invdiff.training.slice_set import SliceSet, without_channel

if TYPE_CHECKING:
    from invdiff.study.prior_training.study import PriorTraining

__all__ = ["judged", "prior_of"]


def prior_of(study: PriorTraining, network: nn.Module, label: int | None) -> PretrainedPrior:
    """Return the denoiser of a network, told a class where it has some."""
    return PretrainedPrior(network, study.objective.build().preconditioning, label=label)


def judged(study: PriorTraining, network: nn.Module, heldout: SliceSet) -> Arrays:
    """Return denoising errors by noise level, and samples.

    Args:
        study: All choices.
        network: Trained, on the device of the slices.
        heldout: Slices that were kept from the training.
    """
    errors = np.zeros((len(study.sigmas), len(heldout)))
    for label, rows in _by_class(heldout):
        scores = denoising_psnr(
            prior_of(study, network, label),
            without_channel(heldout.images(rows)),
            study.sigmas,
            generator=derive_generator(study.seed, "denoising"),
        )
        errors[:, rows.cpu().numpy()] = scores.errors.numpy()
    return {
        "errors": errors,
        "subjects": np.array(heldout.subjects),
        "samples": _samples(study, network, heldout),
    }


def _by_class(slices: SliceSet) -> list[tuple[int | None, torch.Tensor]]:
    if slices.labels is None:
        return [(None, torch.arange(len(slices), device=slices.values.device))]
    labels = slices.labels.unique().tolist()  # type: ignore[no-untyped-call]
    return [(label, (slices.labels == label).nonzero()[:, 0]) for label in labels]


def _samples(study: PriorTraining, network: nn.Module, heldout: SliceSet) -> Any:
    """Draw images of the prior; of each class in turn."""
    classes = len(heldout.classes)
    sampler = HeunSampler(study.sample_steps, dof=study.objective.noise_dof)
    drawn = []
    for k in range(study.num_samples):
        prior = prior_of(study, network, k % classes if classes else None)
        generator = derive_generator(study.seed, "sample", k, device=heldout.values.device)
        drawn.append(sampler.sample(prior, 1, generator=generator).values[0])
    return torch.stack(drawn).cpu().numpy()
