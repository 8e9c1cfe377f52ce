r"""A flow on another path: the same process at other times and on other scales.

Its ODE has the same end points. Its SDEs scatter, so that particles that were copied part ways.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invdiff.interpolants import conversions
from invdiff.interpolants.interpolant import Interpolant, beside
from invdiff.interpolants.noise_levels import (
    TRAINED_TIMES,
    check_levels,
    length,
    noise_level,
    time_of_level,
)
from invdiff.interpolants.process import Process, velocity_and_score

__all__ = ["ConvertedProcess"]


@dataclass(frozen=True)
class ConvertedProcess:
    r"""A process in the clock and on the scale of another one-sided interpolant.

    Such as a rectified flow as a variance-preserving one.

    With both noise levels equal at t(s) and :math:`x_s = c\, x_t`, :cite:t:`kim2025rbf`,

    .. math:: \bar b(x, s) = \frac{c'}{c} x + c\, t'(s)\, b(x / c, t), \qquad
        \bar s(x, s) = \frac1c s(x / c, t)

    computed as :math:`\bar\beta' E[x_1 \mid x_t] + \bar\gamma' \eta`, the same without the
    quotients that are infinite at the ends.

    Args:
        process: Of an interpolant without x0 whose noise level falls.
        interpolant: Another such.
        times: Lowest and highest time at which the process is called.

    Raises:
        ValueError: Other interpolants, or times outside of [0, 1].
    """

    process: Process
    interpolant: Interpolant
    times: tuple[float, float] = TRAINED_TIMES

    def __post_init__(self) -> None:
        check_levels(self.process.interpolant, self.times, "ConvertedProcess")
        check_levels(self.interpolant, TRAINED_TIMES, "ConvertedProcess")

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b at the new time, x ``(*batch, *shape)``, t 0-dimensional or ``batch``."""
        within, time, _ = self._there(x, t)
        return self._velocity(within, self.process.velocity(within, time), t, time)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s at the new time."""
        within, time, scale = self._there(x, t)
        return self.process.score(within, time) / scale

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b and s at the new time, at what the process needs for both."""
        within, time, scale = self._there(x, t)
        b, s = velocity_and_score(self.process, within, time)
        return self._velocity(within, b, t, time), s / scale

    def _velocity(self, within: Tensor, b: Tensor, t: Tensor, time: Tensor) -> Tensor:
        old = self.process.interpolant
        target = conversions.one_sided_target(old, within, b, time)
        eta = conversions.one_sided_noise(old, within, b, time)
        c = self.interpolant.at(t).expanded(within)
        return c.beta_dot * target + c.gamma_dot * eta

    def _there(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return x / c, the time in the process, and the scale c."""
        old, t = self.process.interpolant, t.double()
        time = time_of_level(old, noise_level(self.interpolant, t), self.times)
        scale = beside(length(self.interpolant, t) / length(old, time), x)
        return x / scale, time, scale
