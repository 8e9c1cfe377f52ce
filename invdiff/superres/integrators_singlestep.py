"""Methods that remember nothing from one step to the next."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

from torch import Tensor

from invdiff.samplers.heun import heun_step
from invdiff.superres.integrators_base import Denoise, OneCallAStep, check_calls

__all__ = ["DDIM", "DPMSolver2", "Heun"]


@dataclass(frozen=True)
class DDIM(OneCallAStep):
    r"""Hold D over the step :cite:p:`song2021ddim`: first order, one call a step.

    .. math:: x' = D + \frac{\sigma'}{\sigma} (x - D)

    which is also Euler's method in sigma.
    """

    def __call__(self, denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
        """Return the state at ``sigmas[-1]``; differentiable in x."""
        for sigma, following in pairwise(sigmas):
            x = _euler_step(denoise, x, sigma, following)
        return x


def _euler_step(denoise: Denoise, x: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
    mean = denoise(x, sigma)
    return mean + (following / sigma).to(x) * (x - mean)


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
        for number, (sigma, following) in enumerate(pairwise(sigmas)):
            step = self._step if number < first_euler else _euler_step
            x = step(denoise, x, sigma, following)
        return x

    @abc.abstractmethod
    def _step(self, denoise: Denoise, x: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
        """Return the state after one step of second order."""


class Heun(_TwoCalls):
    r"""The trapezoidal rule in sigma, algorithm 1 of :cite:t:`karras2022`: second order.

    .. math:: x' = x + (\sigma' - \sigma)\, \tfrac12 \bigl(d(x, \sigma)
        + d(x + (\sigma' - \sigma)\, d(x, \sigma), \sigma')\bigr), \qquad d = (x - D) / \sigma

    Two calls a step, one for the step to 0: an odd number in all. For an even number the step
    before that one is Euler's too. With few calls that is the better choice: a second-order step
    to a level many times lower overshoots.
    """

    def _step(self, denoise: Denoise, x: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
        return heun_step(denoise, x, sigma, following)


class DPMSolver2(_TwoCalls):
    r"""DPM-Solver-2 :cite:p:`lu2022`, the midpoint rule in ln sigma: second order.

    With the noise :math:`\varepsilon = (x - D) / \sigma` the solution is :math:`x' = x - \sigma'
    \int_0^h e^{h - s} \varepsilon\, ds`, in which :math:`\varepsilon` is held at its middle value,

    .. math:: x' = x + (\sigma' - \sigma)\, \varepsilon\bigl(x + (\bar\sigma - \sigma)\,
        \varepsilon(x, \sigma), \bar\sigma\bigr), \qquad \bar\sigma = \sqrt{\sigma \sigma'}

    Calls as in ``Heun``.
    """

    def _step(self, denoise: Denoise, x: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
        middle = (sigma * following).sqrt()
        halfway = _euler_step(denoise, x, sigma, middle)
        slope = (halfway - denoise(halfway, middle)) / middle.to(x)
        return x + (following - sigma).to(x) * slope
