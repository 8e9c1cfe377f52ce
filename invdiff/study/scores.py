"""Numbers that say how good the images are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from invdiff.metrics import psnr, ssim
from invdiff.study.holdout import HeldOut, heldout_nrmse, noise_floor
from invdiff.study.problem import Problem
from operators import GaussianNoise

__all__ = ["score"]


def score(problem: Problem, images: Mapping[str, Tensor]) -> dict[str, float]:
    """Return flat metrics of each image.

    ``residual_over_noise``; PSNR and SSIM where a truth is known; ``heldout_nrmse`` and the
    ``heldout_noise_floor`` that noise alone would give, where samples were held out;
    ``energy_outside_support``, the share of the energy within the field of view that is outside
    the body, where that is known.

    Args:
        problem: With or without a truth.
        images: Solver images; the key is the suffix of the metric, "" for the main result.
    """
    numbers: dict[str, float] = {}
    for name, image in images.items():
        suffix = f"_{name}" if name else ""
        if problem.truth is not None:
            numbers |= _against_truth(problem, image, suffix)
        misfit = problem.likelihood.residual_over_noise(image)
        numbers[f"residual_over_noise{suffix}"] = float(misfit)
        if problem.held_out is not None:
            numbers |= _held_out(problem.held_out, image, suffix)
        if problem.body is not None:
            numbers[f"energy_outside_support{suffix}"] = _outside(problem, image)
    if problem.held_out is not None and isinstance(problem.likelihood.noise, GaussianNoise):
        sigma = problem.likelihood.noise.sigma
        numbers["heldout_noise_floor"] = noise_floor(problem.held_out.test, sigma)
    return numbers


def _held_out(held_out: HeldOut, image: Tensor, suffix: str) -> dict[str, float]:
    numbers = {f"heldout_nrmse{suffix}": float(heldout_nrmse(held_out.test, image))}
    if held_out.validation is not None:
        error = heldout_nrmse(held_out.validation, image)
        numbers[f"validation_nrmse{suffix}"] = float(error)
    return numbers


def _outside(problem: Problem, image: Tensor) -> float:
    # the padding to the prior's size is no part of the result
    body = problem.delivered(torch.as_tensor(problem.body))
    energy = problem.delivered(image).abs() ** 2
    return float(energy[~body.to(energy.device)].sum() / energy.sum())


def _against_truth(problem: Problem, image: Tensor, suffix: str) -> dict[str, float]:
    # values from 0 up: the SSIM compares means, to which an offset such as that of HU adds weight
    offset, width = problem.units.offset, problem.units.data_range
    values, truth = (
        torch.from_numpy(problem.values(x) - offset)
        for x in (image, torch.as_tensor(problem.truth))
    )
    return {
        f"{metric.__name__}{suffix}": float(metric(values, truth, data_range=width))
        for metric in (psnr, ssim)
    }
