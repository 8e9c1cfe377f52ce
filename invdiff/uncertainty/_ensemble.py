"""What every measure of uncertainty takes: weighted samples, given in one of three ways."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.linalg import expand_right
from invdiff.samplers.base import Samples

__all__ = ["Ensemble", "magnitude", "moments", "sorted_ensemble", "values_and_weights"]

Ensemble = Samples | Tensor | tuple[Tensor, Tensor]


def values_and_weights(samples: Ensemble) -> tuple[Tensor, Tensor]:
    """Return real values (N, *problems, *image) and float64 weights (N, *problems), sum 1.

    Raises:
        ValueError: Log weights that aren't the leading dimensions of the values.
    """
    if isinstance(samples, Tensor):
        equal = samples.real.new_zeros(samples.shape[:1], dtype=torch.float64)
        return magnitude(samples), equal.softmax(0)
    values, log_weights = (
        (samples.values, samples.log_weights) if isinstance(samples, Samples) else samples
    )
    leading = values.shape[: log_weights.ndim]
    if log_weights.ndim == 0 or leading != log_weights.shape:
        raise ValueError(
            "samples: expected log weights of the leading shape of the values "
            f"{tuple(values.shape)}, got {tuple(log_weights.shape)}"
        )
    return magnitude(values), log_weights.double().softmax(0)


def magnitude(x: Tensor) -> Tensor:
    """Return a real image as it is, and the magnitude of a complex one."""
    return x.abs() if x.is_complex() else x


def moments(samples: Ensemble) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the (magnitudes of the) samples."""
    values, weights = values_and_weights(samples)
    real = Samples(values, weights.log())
    return real.mean().to(values.dtype), real.std().to(values.dtype)


def sorted_ensemble(samples: Ensemble) -> tuple[Tensor, Tensor]:
    """Return the values in ascending order per pixel, and the weight of each, float64.

    The weights broadcast against the values: equal ones are not written out per pixel.
    """
    values, weights = values_and_weights(samples)
    ordered, order = values.sort(0)
    weights = expand_right(weights, values.ndim - weights.ndim)
    if bool((weights == weights[:1]).all()):
        return ordered, weights
    return ordered, weights.expand(values.shape).gather(0, order)
