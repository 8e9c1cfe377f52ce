"""The classical methods by their names in a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.classical import (
    cg_sense,
    fbp,
    interpolate,
    l1_wavelet,
    least_squares,
    total_variation,
    zero_filled,
)
from invdiff.likelihood import Likelihood
from invdiff.linalg import cg_iterates
from invdiff.study.holdout import heldout_nrmse
from invdiff.study.problem import Problem
from operators import GaussianNoise

__all__ = ["TITLES", "Chosen", "check_baselines", "reconstruct_classically"]

TITLES = {
    "fbp": "Filtered back-projection",
    "zero_filled": "Zero-filled",
    "cg_sense": "CG-SENSE",
    "l1_wavelet": "L1-wavelet",
    "bicubic": "Bicubic interpolation",
    "least_squares": "Least squares",
    "tv": "Total variation",
}

# steps of CG-SENSE that are tried on validation samples
_MAX_STEPS = 40
# weights of the wavelets that are tried, over the standard deviation of the noise
_WEIGHTS = tuple(2.0**k for k in (-5, -4, -3.5, -3, -2.5, -2, -1.5, -1, 0))


class Chosen(NamedTuple):
    """An image, and the number that was chosen on validation samples for it, by its name."""

    image: Tensor
    choice: dict[str, float]


def check_baselines(names: Iterable[str]) -> None:
    """Refuse a method whose package is not installed.

    Raises:
        ValueError: One line that names the extra.
    """
    if "l1_wavelet" in names and find_spec("sigpy") is None:
        raise ValueError("baselines: l1_wavelet needs sigpy: pip install 'invdiff[sigpy]'")


def reconstruct_classically(name: str, problem: Problem) -> Chosen:
    """Return the image of a baseline, in the units of the likelihood."""
    validation = None if problem.held_out is None else problem.held_out.validation
    if validation is not None and name == "cg_sense":
        return _best_step(problem.likelihood, validation)
    if validation is not None and name == "l1_wavelet":
        return _best_weight(problem, validation)
    return Chosen(_METHODS[name](problem.likelihood), {})


def _best_step(likelihood: Likelihood, validation: Likelihood) -> Chosen:
    """Return the iterate of CG-SENSE that predicts validation samples best."""
    iterates = cg_iterates(likelihood.weighted_normal, likelihood.weighted_adjoint, num_dims=2)
    # the start is an image of zeros
    images = [x for x, _ in islice(iterates, 1, _MAX_STEPS + 1)]
    step = _best(images, validation)
    return Chosen(images[step], {"steps": float(step + 1)})


def _best_weight(problem: Problem, validation: Likelihood) -> Chosen:
    coils, noise = problem.coils, problem.likelihood.noise
    if coils is None or not isinstance(noise, GaussianNoise):
        raise ValueError("baselines: l1_wavelet is for measured k-space")
    y = problem.likelihood.y
    images = [
        _on_grid(l1_wavelet(coils.kspace, coils.mask, coils.maps, w * noise.sigma), problem).to(y)
        for w in _WEIGHTS
    ]
    index = _best(images, validation)
    return Chosen(images[index], {"weight_over_noise": _WEIGHTS[index]})


def _best(images: Iterable[Tensor], validation: Likelihood) -> int:
    return int(torch.stack([heldout_nrmse(validation, x) for x in images]).argmin())


def _on_grid(image: Tensor, problem: Problem) -> Tensor:
    """Put an image of the field of view on the solver's grid."""
    whole = image.new_zeros(problem.likelihood.image_shape)
    whole[problem.frame or ...] = image
    return whole


def _total_variation(likelihood: Likelihood) -> Tensor:
    # neither attenuation nor a magnitude is negative
    return total_variation(likelihood, low=None if likelihood.operator.in_complex else 0.0)


_METHODS: dict[str, Callable[[Likelihood], Tensor]] = {
    "fbp": fbp,
    "zero_filled": zero_filled,
    "cg_sense": cg_sense,
    "bicubic": interpolate,
    "least_squares": least_squares,
    "tv": _total_variation,
}
