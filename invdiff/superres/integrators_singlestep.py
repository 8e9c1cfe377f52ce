"""Methods that remember nothing from one step to the next."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

from torch import Tensor

from invdiff.superres.integrators_base import Denoise, check_calls

__all__ = ["DDIM", "DPMSolver2", "Heun"]


@dataclass(frozen=True)
class DDIM:
    r"""Hold D over the step :cite:p:`song2021ddim`: first order, one call a step.

    .. math:: x' = D + \frac{\sigma'}{\sigma} (x - D)

    which is also Euler's method in sigma.
    """

    def steps_for(self, num_calls: int) -> int:
        """Return the number of noise levels above 0 for which it makes that many calls."""
        return check_calls(num_calls)

    def for_calls(self, num_calls: int) -> Self:
        """Return itself: it makes one call a step."""
        check_calls(num_calls)
        return self

    def __call__(self, denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
        """Return the state at ``sigmas[-1]``; differentiable in x."""
        for sigma, following in pairwise(sigmas):
            mean = denoise(x, sigma)
            x = mean + (following / sigma).to(x) * (x - mean)
        return x


@dataclass(frozen=True)
class _TwoCalls(abc.ABC):
    """Two calls a step, but one for the step to 0, where the slope is singular.

    An even number of calls is one too few for that: the step before is then Euler's as well.

    Args:
        num_euler: Steps before the one to 0 that are Euler's, the last ones.
    """

    num_euler: int = 0

    def steps_for(self, num_calls: int) -> int:
        """Return the number of noise levels above 0 for which it makes that many calls."""
        return check_calls(num_calls) // 2 + 1

    def for_calls(self, num_calls: int) -> Self:
        """Return the method with one Euler step more for an even number of calls."""
        return replace(self, num_euler=1 - check_calls(num_calls) % 2)

    def __call__(self, denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
        """Return the state at ``sigmas[-1]``; differentiable in x."""
        first_euler = int((sigmas > 0).sum()) - 1 - self.num_euler
        for step, (sigma, following) in enumerate(pairwise(sigmas)):
            slope = (x - denoise(x, sigma)) / sigma.to(x)
            if step < first_euler:
                slope = self._mean_slope(denoise, x, slope, sigma, following)
            x = x + (following - sigma).to(x) * slope
        return x

    @abc.abstractmethod
    def _mean_slope(
        self, denoise: Denoise, x: Tensor, slope: Tensor, sigma: Tensor, following: Tensor
    ) -> Tensor:
        """Return the mean of dx/dsigma over a step, given its value at the start."""


class Heun(_TwoCalls):
    r"""The trapezoidal rule in sigma, algorithm 1 of :cite:t:`karras2022`: second order.

    .. math:: x' = x + (\sigma' - \sigma)\, \tfrac12 \bigl(d(x, \sigma)
        + d(x + (\sigma' - \sigma)\, d(x, \sigma), \sigma')\bigr), \qquad d = (x - D) / \sigma

    Two calls a step, one for the step to 0: an odd number in all. For an even number the step
    before that one is Euler's too. With few calls that is the better choice: a second-order step
    to a level many times lower overshoots.
    """

    def _mean_slope(
        self, denoise: Denoise, x: Tensor, slope: Tensor, sigma: Tensor, following: Tensor
    ) -> Tensor:
        euler = x + (following - sigma).to(x) * slope
        return (slope + (euler - denoise(euler, following)) / following.to(x)) / 2


class DPMSolver2(_TwoCalls):
    r"""DPM-Solver-2 :cite:p:`lu2022`, the midpoint rule in ln sigma: second order.

    With the noise :math:`\varepsilon = (x - D) / \sigma` the solution is :math:`x' = x - \sigma'
    \int_0^h e^{h - s} \varepsilon\, ds`, in which :math:`\varepsilon` is held at its middle value,

    .. math:: x' = x + (\sigma' - \sigma)\, \varepsilon\bigl(x + (\bar\sigma - \sigma)\,
        \varepsilon(x, \sigma), \bar\sigma\bigr), \qquad \bar\sigma = \sqrt{\sigma \sigma'}

    Calls as in ``Heun``.
    """

    def _mean_slope(
        self, denoise: Denoise, x: Tensor, slope: Tensor, sigma: Tensor, following: Tensor
    ) -> Tensor:
        middle = (sigma * following).sqrt()
        halfway = x + (middle - sigma).to(x) * slope
        return (halfway - denoise(halfway, middle)) / middle.to(x)
