r"""A flow on another path: the same process at other times and on other scales.

Its ODE has the same end points. Its SDEs scatter, so that particles that were copied part ways.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invdiff.interpolants import conversions
from invdiff.interpolants.interpolant import Interpolant
from invdiff.interpolants.noise_levels import (
    TRAINED_TIMES,
    beside,
    check_levels,
    length,
    noise_level,
    time_of_level,
)
from invdiff.interpolants.process import Process

__all__ = ["ConvertedProcess", "converted"]


@dataclass(frozen=True)
class ConvertedProcess:
    r"""A process in the clock and on the scale of another one-sided interpolant.

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
        old, time, scale = self._there(t)
        within = x / beside(scale, x)
        b = self.process.velocity(within, time)
        target = conversions.one_sided_target(old, within, b, time)
        eta = conversions.one_sided_noise(old, within, b, time)
        c = self.interpolant.at(t).expanded(x)
        return c.beta_dot * target + c.gamma_dot * eta

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s at the new time."""
        _, time, scale = self._there(t)
        c = beside(scale, x)
        return self.process.score(x / c, time) / c

    def _there(self, t: Tensor) -> tuple[Interpolant, Tensor, Tensor]:
        """Return the interpolant of the process, the time in it, and the scale c."""
        old, t = self.process.interpolant, t.double()
        time = time_of_level(old, noise_level(self.interpolant, t), self.times)
        return old, time, length(self.interpolant, t) / length(old, time)


def converted(
    process: Process, interpolant: Interpolant, times: tuple[float, float] = TRAINED_TIMES
) -> ConvertedProcess:
    """Return the process on another path, such as a rectified flow as a variance-preserving one.

    Args:
        process: Of an interpolant without x0.
        interpolant: Where to, without x0.
        times: Where the process is known, see ``ConvertedProcess``.
    """
    return ConvertedProcess(process, interpolant, times)
