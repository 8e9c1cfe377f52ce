"""The mixture problem of the study of interpolants, with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants import Interpolant, MixtureProcess, TwoSided
from invdiff.priors import GaussianMixturePrior
from invdiff.theory.marginals import cdf, quantiles

__all__ = [
    "Tabulated",
    "base_of",
    "gaussian_process",
    "line",
    "masses",
    "mixture_process",
    "stratified",
    "wasserstein1",
]

# beyond it no law of the study has anything that counts
_REACH = 14.0
_SPACING = 0.01


def mixture_process() -> MixtureProcess:
    """Return the problem of two modes to three, with a Brownian gamma and independent ends."""
    base = _on_line([0.5, 0.5], [-3.0, 3.0], [0.25, 0.25])
    target = _on_line([1 / 3, 1 / 3, 1 / 3], [-6.0, 0.0, 6.0], [0.5, 0.33, 0.5])
    return MixtureProcess(TwoSided(), target, base)


def gaussian_process() -> MixtureProcess:
    """Return the problem of N(0, 1) to N(1, 1/2), whose fields are affine in x."""
    return MixtureProcess(TwoSided(), _on_line([1.0], [1.0], [0.5]), _on_line([1.0], [0.0], [1.0]))


def base_of(process: MixtureProcess) -> GaussianMixturePrior:
    """Return the law of x0.

    Raises:
        ValueError: There is none.
    """
    if process.base is None:
        raise ValueError("base_of: expected a process with a base")
    return process.base


def line(reach: float, count: int) -> Tensor:
    """Return ``count`` equal distances from ``-reach`` to ``reach``, ``(count + 1,)``."""
    return torch.linspace(-reach, reach, count + 1, dtype=torch.float64)


def stratified(law: GaussianMixturePrior, count: int) -> Tensor:
    """Return the middles of ``count`` parts of equal probability, ``(count, 1)``."""
    levels = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return quantiles(law, levels).unsqueeze(-1)


def masses(law: GaussianMixturePrior, edges: Tensor) -> Tensor:
    """Return the probabilities of the cells between edges, ``(edges - 1,)``."""
    return cdf(law, edges).diff()


def wasserstein1(x: Tensor, law: GaussianMixturePrior) -> Tensor:
    r"""Return :math:`W_1 = \int |F_n - F|` of samples ``(*batch, n)`` to a law on the line."""
    points = line(_REACH, 4000)
    ordered = x.sort().values
    below = torch.searchsorted(ordered, points.expand(*x.shape[:-1], -1).contiguous(), right=True)
    return torch.trapezoid((below / x.shape[-1] - cdf(law, points)).abs(), points)


@dataclass(frozen=True)
class Tabulated:
    """A process on the line, its fields linear between closely spaced points at each time.

    So the costly exact fields are found once for any number of samples; the error is of the
    square of the spacing.

    Args:
        process: Gives the fields.
    """

    process: MixtureProcess

    @property
    def interpolant(self) -> Interpolant:
        """Whose law it is."""
        return self.process.interpolant

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b for x ``(batch, 1)``."""
        return _interpolated(self.process.velocity(_points(), t), x)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s."""
        return _interpolated(self.process.score(_points(), t), x)


def _points() -> Tensor:
    return line(_REACH, round(2 * _REACH / _SPACING)).unsqueeze(-1)


def _interpolated(table: Tensor, x: Tensor) -> Tensor:
    place = (x + _REACH) / _SPACING
    # outside, the line of the last two points goes on
    left = place.floor().clamp(0, len(table) - 2)
    low, slope = table[:-1, 0], table[:, 0].diff()
    index = left.long()
    return low[index] + (place - left) * slope[index]


def _on_line(
    weights: Sequence[float], means: Sequence[float], variances: Sequence[float]
) -> GaussianMixturePrior:
    w, m, c = (torch.tensor(part, dtype=torch.float64) for part in (weights, means, variances))
    return GaussianMixturePrior(w, m.unsqueeze(-1), c[:, None, None])
