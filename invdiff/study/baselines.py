"""The classical methods by their names in a configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from invdiff.classical import (
    cg_sense,
    fbp,
    interpolate,
    least_squares,
    total_variation,
    zero_filled,
)
from invdiff.likelihood import Likelihood

__all__ = ["TITLES", "reconstruct_classically"]

TITLES = {
    "fbp": "Filtered back-projection",
    "zero_filled": "Zero-filled",
    "cg_sense": "CG-SENSE",
    "bicubic": "Bicubic interpolation",
    "least_squares": "Least squares",
    "tv": "Total variation",
}

_METHODS: dict[str, Callable[[Likelihood], Tensor]] = {
    "fbp": fbp,
    "zero_filled": zero_filled,
    "cg_sense": cg_sense,
    "bicubic": interpolate,
    "least_squares": least_squares,
    # neither attenuation nor a magnitude is negative
    "tv": partial(total_variation, low=0.0),
}


def reconstruct_classically(name: str, likelihood: Likelihood) -> Tensor:
    """Return the image of a baseline, in the units of the likelihood."""
    return _METHODS[name](likelihood)
