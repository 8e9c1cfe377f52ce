"""Numerical methods for the probability-flow ODE in the scaling x0 + sigma n."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from torch import Tensor

__all__ = ["DDIM", "Denoise", "Integrator", "integrator_named"]

# D(x, sigma) with the measurement bound
Denoise = Callable[[Tensor, Tensor], Tensor]


class Integrator(Protocol):
    """From the state at the first noise level to the image at the last, which is 0."""

    def steps_for(self, num_calls: int) -> int:
        """Return the number of noise levels above 0 for which it needs that many calls."""
        ...

    def __call__(self, denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
        """Return the state at ``sigmas[-1]``; differentiable in x."""
        ...


class DDIM:
    """Euler's method in sigma: first order, one call a step."""

    def steps_for(self, num_calls: int) -> int:
        """Return the number of noise levels above 0 for which it needs that many calls."""
        return num_calls

    def __call__(self, denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
        """Return the state at ``sigmas[-1]``; differentiable in x."""
        for sigma, following in pairwise(sigmas):
            mean = denoise(x, sigma)
            x = mean + (following / sigma).to(x) * (x - mean)
        return x


_INTEGRATORS: dict[str, Callable[[], Integrator]] = {"ddim": DDIM}


def integrator_named(name: str) -> Integrator:
    """Return the method of that name.

    Raises:
        ValueError: No method has that name.
    """
    if name not in _INTEGRATORS:
        raise ValueError(f"integrator: expected one of {', '.join(_INTEGRATORS)}, got {name!r}")
    return _INTEGRATORS[name]()
