"""The numbers of the study of few-step flows: distances, straightness and denoising."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invdiff.interpolants.image_field import ImageField
from invdiff.interpolants.integrators import time_grid
from invdiff.interpolants.rectified_flow import straightness
from invdiff.study.laboratory.few_step_runs import FewStepRuns
from invdiff.study.laboratory.few_step_scores import (
    Components,
    energy_distance,
    energy_error,
    flow_denoising_psnr,
    frechet_distance,
)
from invdiff.study.scripted import Metrics
from invdiff.study.slices import spread_rows

__all__ = ["distances", "flow_scores"]

# starts and steps of the lines whose straightness is measured
_NUM_LINES, _LINE_STEPS = 32, 16


def distances(
    images: dict[str, Tensor],
    training: Tensor,
    heldout: Tensor,
    num_components: int,
    runs: FewStepRuns,
) -> Metrics:
    """Return how far images are from training and held-out slices, and other slices from these.

    Args:
        images: Of each network, ``(count, size, size)``, as many of each as there can be.
        training: ``(slices, size, size)``, in the same units.
        heldout: The same.
        num_components: Of the space that distances are measured in.
        runs: Choose the slices.
    """
    components = Components.of(training, num_components)
    generator = runs.generator("floor")
    order = torch.randperm(len(training), generator=generator, device=generator.device).cpu()
    # disjoint, or as nearly so as there are slices
    half = min(max(map(len, images.values())), max(2, len(training) // 2))
    clouds = {"floor": training[order[:half]]} | images
    spread, metrics = float(training.std()), {}
    references = {
        "": components.coordinates(training[order[-half:]]) / spread,
        "_heldout": components.coordinates(heldout) / spread,
    }
    for name, values in clouds.items():
        cloud = components.coordinates(values) / spread
        for label, reference in references.items():
            metrics[f"energy{label}_{name}"] = energy_distance(cloud, reference)
        metrics[f"energy_error_{name}"] = energy_error(cloud, references[""])
        metrics[f"frechet_{name}"] = frechet_distance(cloud, references[""])
    return metrics


def flow_scores(
    fields: dict[str, ImageField],
    runs: FewStepRuns,
    heldout: Tensor,
    spread: float,
    sigmas: Sequence[float],
) -> Metrics:
    """Return straightness and denoising of each flow.

    Args:
        fields: The flows.
        runs: Draw the noise.
        heldout: ``(slices, size, size)``, in units of the flows.
        spread: This unit.
        sigmas: Noise of the denoising, in units of the image.
    """
    metrics: Metrics = {}
    lines, times = runs.noise(_NUM_LINES, "lines"), time_grid(_LINE_STEPS, 0.0, 1.0)
    clean = heldout[spread_rows(len(heldout), _NUM_LINES)]
    noise = runs.noise(len(clean), "denoising")
    for name, field in fields.items():
        total = straightness(field, lines, times)
        metrics[f"straightness_{name}"] = total / lines[0].numel()
        for sigma in sigmas:
            level = flow_denoising_psnr(field, clean, noise, sigma / spread, 1 / spread)
            metrics[f"denoising_{name}_{sigma}"] = level
    return metrics
