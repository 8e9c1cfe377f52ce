"""Numbers that say how good the images are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from invdiff.metrics import psnr, ssim
from invdiff.study.problem import Problem

__all__ = ["score"]

Metric = Callable[..., Tensor]


def score(problem: Problem, images: Mapping[str, Tensor]) -> dict[str, float]:
    """Return flat metrics: ``residual_over_noise``, and PSNR and SSIM where a truth is known.

    Args:
        problem: With or without a truth.
        images: Solver images; the key is the suffix of the metric, "" for the main result.
    """
    numbers: dict[str, float] = {}
    for name, image in images.items():
        suffix = f"_{name}" if name else ""
        if problem.truth is not None:
            for metric in (psnr, ssim):
                numbers[f"{metric.__name__}{suffix}"] = _against_truth(problem, image, metric)
        misfit = problem.likelihood.residual_over_noise(image)
        numbers[f"residual_over_noise{suffix}"] = float(misfit)
    return numbers


def _against_truth(problem: Problem, image: Tensor, metric: Metric) -> float:
    # values from 0 up: the SSIM compares means, to which an offset such as that of HU adds weight
    offset = problem.units.offset
    values = torch.from_numpy(problem.values(image) - offset)
    truth = torch.from_numpy(problem.values(torch.as_tensor(problem.truth)) - offset)
    return float(metric(values, truth, data_range=problem.units.data_range))
