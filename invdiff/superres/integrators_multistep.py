"""Methods that reuse the calls of earlier steps: second order and more for one call a step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.superres.integrators_base import Denoise, OneCallAStep

__all__ = ["DPMSolverPlusPlus2M", "UniPC2"]


class _Step(NamedTuple):
    """A step: its length h in -ln sigma, and the state and the mean at its start."""

    length: Tensor
    start: Tensor
    mean: Tensor

    def end(self, mean: Tensor) -> Tensor:
        """Return the state at the end of the step if D is, on average, that mean."""
        return mean + torch.exp(-self.length).to(mean) * (self.start - mean)


@dataclass(frozen=True)
class DPMSolverPlusPlus2M(OneCallAStep):
    r"""DPM-Solver++(2M) :cite:p:`lu2022plusplus`: second order, one call a step.

    D is held at the value that the line through its last two values has in the middle of the step:

    .. math:: x_{i+1} = e^{-h_i} x_i + (1 - e^{-h_i}) \Bigl(D_i + \frac{h_i}{2 h_{i-1}}
        (D_i - D_{i-1})\Bigr), \qquad h_i = \ln(\sigma_i / \sigma_{i+1})

    The first step, which has no past, and the last, to 0, are DDIM's.
    """

    def __call__(self, denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
        """Return the state at ``sigmas[-1]``; differentiable in x."""
        steps: list[_Step] = []
        for sigma, following in pairwise(sigmas):
            mean = denoise(x, sigma)
            steps = [
                *steps[-2:],
                _Step((sigma / following).log(), self._start(steps, x, mean), mean),
            ]
            x = _predicted(steps)
        return x

    def _start(self, past: list[_Step], x: Tensor, mean: Tensor) -> Tensor:
        """Return the state from which a step goes on, given the mean at the predicted one."""
        return x


class UniPC2(DPMSolverPlusPlus2M):
    r"""UniPC-2 :cite:p:`zhao2023`, a predictor and a corrector that share calls: third order.

    Its predictor, for the paper's :math:`B(h) = 1 - e^{-h}`, is DPM-Solver++(2M). The mean
    :math:`D_{i+1}` at the predicted state is the call that the next step needs anyway; before
    that, the last step is made again, now with D on the parabola through
    :math:`D_{i-1}, D_i, D_{i+1}`, which no longer depends on B:

    .. math:: x_{i+1} = e^{-h_i} x_i + \int_0^{h_i} e^{s - h_i} (D_i + c_1 s + c_2 s^2)\, ds

    In the first step D is held at the mean of :math:`D_0, D_1`. The step to 0 is DDIM's, from
    the mean at a predicted state: to correct that would take a call more.
    """

    def _start(self, past: list[_Step], x: Tensor, mean: Tensor) -> Tensor:
        return _corrected(past, mean) if past else x


def _predicted(steps: list[_Step]) -> Tensor:
    """Return the state at the end of the last step, from the means at the start of the last two."""
    step = steps[-1]
    if len(steps) == 1 or torch.isinf(step.length):
        return step.end(step.mean)
    share = (step.length / (2 * steps[-2].length)).to(step.mean)
    return step.end(step.mean + share * (step.mean - steps[-2].mean))


def _corrected(steps: list[_Step], mean: Tensor) -> Tensor:
    """Return the state at the end of the last step, where the mean has been found by now."""
    h, rise = steps[-1].length, mean - steps[-1].mean
    if len(steps) == 1:
        return steps[-1].end(steps[-1].mean + rise / 2)
    before, rise_before = steps[-2].length, steps[-1].mean - steps[-2].mean
    curvature = (rise / h.to(rise) - rise_before / before.to(rise)) / (h + before).to(rise)
    # c_1 s + c_2 s^2 is rise s / h + curvature (s^2 - h s); integrals of e^{s - h} s and s^2
    first = h + torch.expm1(-h)
    second = h**2 - 2 * first
    held = steps[-1].end(steps[-1].mean)
    return held + (first / h).to(rise) * rise + (second - h * first).to(rise) * curvature
