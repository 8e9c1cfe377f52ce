"""Fill missing slices by every method, and score them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from invdiff.metrics import psnr
from invdiff.priors import rescale
from invdiff.priors.denoiser import Denoiser
from invdiff.rng import derive_generator
from invdiff.study.laboratory.volume_scans import VolumeScan
from invdiff.study.scripted import Arrays, Metrics
from invdiff.volumes import KnownSlices, SlicePrior, fill_gaps, gap_sampler, linear_between

__all__ = ["METHODS", "cubic_between", "filled", "nearest_slices", "scored"]

METHODS = ("nearest", "linear", "cubic", "prior")


def nearest_slices(known: KnownSlices) -> Tensor:
    """Repeat the nearest known slice, the lower one of two as near."""
    places = known.mask.nonzero().flatten()
    z = torch.arange(len(known.mask))
    nearest = (z[:, None] - places).abs().argmin(1)
    return known.values[places[nearest]]


def cubic_between(known: KnownSlices) -> Tensor:
    """Interpolate by the cubic spline through the known slices, two or more of them.

    Through three it is a parabola, through two a line.
    """
    from scipy.interpolate import CubicSpline

    places = known.mask.nonzero().flatten().numpy()
    spline = CubicSpline(places, known.values[known.mask].numpy())
    return torch.from_numpy(spline(np.arange(len(known.mask)))).to(known.values)


def filled(
    scan: VolumeScan,
    every: int,
    prior: Denoiser,
    num_steps: int,
    strength: float,
    seed: int,
    device: str,
) -> Arrays:
    """Fill the slices that are not known by every method.

    Args:
        scan: The truth.
        every: One slice of so many is known, and the last one.
        prior: Of slices, in any units.
        num_steps: Network calls for each missing slice.
        strength: Of the coupling, see ``gap_sampler``.
        seed: Of all random numbers.
        device: Where the prior runs.

    Returns:
        A volume ``(slices, rows, columns)`` and "seconds_METHOD" of each method, and which slices
        are "missing".
    """
    truth = scan.truth.float()
    mask = torch.arange(len(truth)) % every == 0
    mask[-1] = True
    known = KnownSlices(mask, torch.where(mask[:, None, None], truth, torch.nan))
    slices = SlicePrior(rescale(prior, scan.units.low, scan.units.high), len(truth))

    def by_prior(given: KnownSlices) -> Tensor:
        generator = derive_generator(seed, "gaps", every)
        there = KnownSlices(given.mask.to(device), given.values.to(device))
        sampler = gap_sampler(num_steps, strength)
        return fill_gaps(slices, there, generator=generator, sampler=sampler).cpu()

    ways = (nearest_slices, linear_between, cubic_between, by_prior)
    found: Arrays = {"missing": (~mask).numpy()}
    for name, fill in zip(METHODS, ways, strict=True):
        found[name], found[f"seconds_{name}"] = _timed(fill, known)
    return found


def scored(found: Arrays, truth: Tensor, every: int, data_range: float) -> Metrics:
    """Return the mean PSNR of the missing slices and the seconds of each method."""
    missing = torch.from_numpy(found["missing"])
    metrics: Metrics = {}
    for name in METHODS:
        image = torch.from_numpy(found[name])[missing]
        each = psnr(image, truth[missing], data_range=data_range)
        metrics[f"psnr_{name}_{every}"] = float(each.mean())
        metrics[f"seconds_{name}_{every}"] = float(found[f"seconds_{name}"])
    return metrics


def _timed(
    fill: Callable[[KnownSlices], Tensor], known: KnownSlices
) -> tuple[np.ndarray, np.ndarray]:
    start = time.perf_counter()
    volume = fill(known)
    return volume.numpy(), np.asarray(time.perf_counter() - start)
