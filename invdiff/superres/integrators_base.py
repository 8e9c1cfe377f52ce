"""What a numerical method for the probability-flow ODE is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

from torch import Tensor

__all__ = ["Denoise", "Integrator", "OneCallAStep", "check_calls"]

# D(x, sigma) with the measurement bound
Denoise = Callable[[Tensor, Tensor], Tensor]


class Integrator(Protocol):
    r"""From the state at the first noise level to the image at the last, which is 0.

    In :math:`\lambda = -\ln \sigma` the ODE :math:`dx/d\sigma = (x - D)/\sigma` is
    :math:`dx/d\lambda = D - x`; its linear part is integrated exactly, so that over a step of
    length :math:`h = \ln(\sigma / \sigma')`

    .. math:: x(\sigma') = e^{-h} x(\sigma) + \int_0^h e^{s - h} D(\lambda + s)\, ds.

    Methods differ in how they extend D over the step. For the step to 0, h is infinite and
    nothing but the D of its start can be used: x(0) = D.
    """

    def steps_for(self, num_calls: int) -> int:
        """Return the number of noise levels above 0 for which it makes that many calls.

        Raises:
            ValueError: Fewer than 1 call.
        """
        ...

    def for_calls(self, num_calls: int) -> Integrator:
        """Return the method that makes exactly that many calls in ``steps_for`` of them.

        Raises:
            ValueError: Fewer than 1 call.
        """
        ...

    def __call__(self, denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
        """Return the state at ``sigmas[-1]``; differentiable in x.

        Args:
            denoise: D(x, sigma) for x ``(*batch, *image)`` and sigma 0-dimensional.
            x: State at ``sigmas[0]``.
            sigmas: Decreasing noise levels in the units of x, float64; only the last may be 0.
        """
        ...


def check_calls(num_calls: int) -> int:
    """Return the number of calls, or refuse it.

    Raises:
        ValueError: It is not positive.
    """
    if num_calls < 1:
        raise ValueError(f"num_calls: expected at least 1, got {num_calls}")
    return num_calls


class OneCallAStep:
    """What all methods of one call a step say of calls and steps."""

    def steps_for(self, num_calls: int) -> int:
        """Return the number of noise levels above 0 for which it makes that many calls."""
        return check_calls(num_calls)

    def for_calls(self, num_calls: int) -> Self:
        """Return itself: any number will do."""
        check_calls(num_calls)
        return self
