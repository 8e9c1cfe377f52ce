"""Denoising and reconstruction by the right expert, a wrong one, and both with a router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from invdiff.linalg import expand_right
from invdiff.metrics import psnr
from invdiff.priors.denoiser import Denoiser, rescale
from invdiff.priors.experts import RoutedPrior
from invdiff.priors.routing import Router, combined, truncated
from invdiff.rng import derive_generator
from invdiff.samplers import RedDiff
from invdiff.study.laboratory.image_tasks import Task, image_problem, measurement_picture, moved
from invdiff.study.scripted import Arrays

__all__ = ["WAYS", "Experts", "denoising", "reconstruction"]

# how the experts are used; those of the report
WAYS = {
    "right": "right expert",
    "wrong": "wrong expert",
    "routed": "routed, all experts",
    "top": "routed, likeliest alone",
}
_SCORES = tuple(f"psnr_{way}" for way in WAYS)


class Experts(NamedTuple):
    """Priors of images in [-1, 1] by name, in the order of the router's outputs.

    Args:
        priors: The denoisers.
        router: Their probabilities.
    """

    priors: Mapping[str, Denoiser]
    router: Router

    def way(self, way: str, name: str) -> Denoiser:
        """Return the prior that is used for images of the expert of that name."""
        if way in ("right", "wrong"):
            return self.priors[name if way == "right" else self.other(name)]
        return RoutedPrior(list(self.priors.values()), self.router, top=1 if way == "top" else None)

    def other(self, name: str) -> str:
        """Return the expert that follows, which is wrong for images of this one."""
        names = list(self.priors)
        return names[(names.index(name) + 1) % len(names)]


def denoising(
    experts: Experts, name: str, clean: Tensor, sigmas: Sequence[float], seed: int
) -> Arrays:
    """Denoise slices ``(slices, size, size)`` of one expert, in [-1, 1].

    Returns:
        "psnr_WAY" ``(sigmas, slices)`` in dB over [-1, 1], and "probability" of the right expert
        of the same shape.
    """
    names = list(experts.priors)
    right, wrong = names.index(name), names.index(experts.other(name))
    found: dict[str, list[Tensor]] = {key: [] for key in (*_SCORES, "probability")}
    for level in sigmas:
        generator = derive_generator(seed, "noise", name, repr(level))
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        sigma = torch.full((len(clean),), level, dtype=clean.dtype, device=clean.device)
        x = clean + expand_right(sigma, 2) * noise
        with torch.no_grad():
            # each expert is asked once for all ways
            outputs = torch.stack([prior(x, sigma) for prior in experts.priors.values()])
            log_weights = experts.router(x, sigma)
        images = {
            "right": outputs[right],
            "wrong": outputs[wrong],
            "routed": combined(outputs, log_weights),
            "top": combined(outputs, truncated(log_weights, 1)),
        }
        for way, image in images.items():
            found[f"psnr_{way}"].append(psnr(image, clean, data_range=2.0))
        found["probability"].append(log_weights.softmax(-1)[:, right])
    return {key: torch.stack(values).cpu().numpy() for key, values in found.items()}


def reconstruction(
    experts: Experts,
    name: str,
    task: Task,
    clean: Tensor,
    *,
    num_steps: int,
    noise_level: float,
    seed: int,
) -> Arrays:
    """Reconstruct one slice ``(size, size)`` of an expert by RED-diff, each way.

    Returns:
        Images from 0 to 1: "truth" and one of each way; the "measurement", and "calls" and
        "psnr" for each way.
    """
    truth = (clean.cpu() + 1) / 2
    likelihood = moved(image_problem(task, truth[None], noise_level, seed), str(clean.device))
    found: Arrays = {
        "truth": truth.numpy(),
        "measurement": measurement_picture(likelihood).cpu().numpy(),
    }
    scores, calls = [], []
    for way in WAYS:
        prior = experts.way(way, name)
        before = _calls(experts)
        samples = RedDiff(num_steps=num_steps).sample(
            likelihood, rescale(prior, 0.0, 1.0), 1, generator=derive_generator(seed, "red-diff")
        )
        image = samples.values[0, 0].detach().cpu()
        found[way] = image.numpy()
        scores.append(float(psnr(image, truth, data_range=1.0)))
        calls.append(_calls(experts) - before)
    return {**found, "psnr": np.asarray(scores), "calls": np.asarray(calls)}


def _calls(experts: Experts) -> int:
    return sum(getattr(prior, "num_calls", 0) for prior in experts.priors.values())
