"""A rank's own part of a problem that is stated for a whole volume."""

from __future__ import annotations

import copy

from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser, Rescaled, rescale
from invdiff.volumes.slice_prior import SlicePrior
from invdiff.volumes.split import Split
from operators import CorrelatedGaussianNoise, SliceStack

__all__ = ["local_likelihood", "local_prior", "local_slices"]


def local_slices(x: Tensor, split: Split, axis: int = -3) -> Tensor:
    """Return the slices that are held here, as a view.

    Args:
        x: Whole volume, or its measurements.
        split: Which slices are held here.
        axis: Of the slices.

    Raises:
        ValueError: The axis has another length than the volume has slices.
    """
    if x.shape[axis] != split.total:
        raise ValueError(
            f"local_slices: expected {split.total} slices along axis {axis}, got {tuple(x.shape)}"
        )
    return x.narrow(axis, split.first, split.count)


def local_likelihood(likelihood: Likelihood, split: Split) -> Likelihood:
    """Return the likelihood of the slices that are held here.

    Args:
        likelihood: Of a whole volume of independent scans of each slice.
        split: Which slices are held here.

    Raises:
        ValueError: The operator or the noise mixes slices, so that no slice has a likelihood of
            its own, or the volume has another number of slices than the split.
    """
    stack, noise = likelihood.operator, likelihood.noise
    if not isinstance(stack, SliceStack):
        raise ValueError(
            f"local_likelihood: {type(stack).__name__} is no SliceStack; an operator that mixes "
            "slices, such as cone-beam CT or 3D k-space, cannot be split by slices"
        )
    axis = -len(stack.out_shape)
    if isinstance(noise, CorrelatedGaussianNoise) and noise.axis == axis:
        raise ValueError("local_likelihood: the noise of different slices is correlated")
    y = local_slices(likelihood.y, split, axis)
    return Likelihood(SliceStack(stack.operator, split.count), noise, y)


def local_prior(prior: Denoiser, split: Split) -> Denoiser:
    """Return the prior of the slices that are held here.

    Args:
        prior: A ``SlicePrior`` of the whole volume, in other units if need be.
        split: Which slices are held here.

    Raises:
        ValueError: The prior is not one of independent slices.
    """
    if isinstance(prior, Rescaled):
        return rescale(local_prior(prior.denoiser, split), *prior.data_range)
    if not isinstance(prior, SlicePrior):
        raise ValueError(f"local_prior: {type(prior).__name__} is no prior of independent slices")
    # a copy keeps whatever else the prior was told, such as the size of its chunks
    local = copy.copy(prior)
    local.image_shape = (split.count, *prior.image_shape[1:])
    return local
