r"""The SDEs of an interpolant: one family with the same marginals, forwards and backwards.

.. math::
    dX = (b + \epsilon s)\, dt + \sqrt{2 \epsilon}\, dW \quad \text{(t increases)}, \qquad
    dX = (b - \epsilon s)\, dt + \sqrt{2 \epsilon}\, dW_B \quad \text{(t decreases)}

:cite:t:`albergo2023`, theorem 2.11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon
from invdiff.interpolants.integrators import StepCallback, check_times
from invdiff.interpolants.process import Field, Process, velocity_and_score

__all__ = ["SdeMethod", "integrate_sde"]

SdeMethod = Literal["euler", "heun"]


def integrate_sde(
    process: Process,
    x: Tensor,
    times: Tensor,
    *,
    epsilon: Epsilon,
    noise: Callable[[], Tensor],
    method: SdeMethod = "euler",
    last_noise: bool = True,
    callback: StepCallback | None = None,
) -> Tensor:
    """Integrate the SDE along a grid of times: the forward one if it increases.

    Args:
        process: Gives b and s.
        x: Values at ``times[0]``, ``(batch, *shape)``.
        times: ``(steps + 1,)``, monotonic. With "euler" the fields are not asked at the last one,
            where the score may be infinite.
        epsilon: Amount of noise; where it is 0 the score is not asked for.
        noise: Standard normals of the shape of x at each call, see ``SampleNoise``.
        method: Euler-Maruyama, of weak order 1 (one call a step), or Heun's method, where both
            slopes share one increment of the noise: of weak order 2, as the noise does not depend
            on x (two calls).
        last_noise: False keeps the noise out of the last step, which ends in the mean instead; for
            images, where it would be seen.
        callback: Called with the number of each step, its end time and the values there.

    Raises:
        ValueError: An unknown method, times that are not monotonic or leave [0, 1], or fewer than
            two.
    """
    check_times(times)
    if method not in get_args(SdeMethod):
        raise ValueError(
            f"integrate_sde: expected a method of {get_args(SdeMethod)}, got {method!r}"
        )
    drift = _drift(process, epsilon, 1.0 if times[-1] > times[0] else -1.0)
    last = len(times) - 2
    for i in range(len(times) - 1):
        t, end = times[i], times[i + 1]
        h, slope = (end - t).to(x), drift(x, t)
        # for Heun's order also where epsilon changes; Euler's takes its value with the drift's
        amount = epsilon(t if method == "euler" else (t + end) / 2)
        scattered = x
        if last_noise or i < last:
            scattered = x + (2 * amount * (end - t).abs()).sqrt().to(x) * noise()
        if method == "heun":
            slope = (slope + drift(scattered + h * slope, end)) / 2
        x = scattered + h * slope
        if callback is not None:
            callback(i, end, x)
    return x


def _drift(process: Process, epsilon: Epsilon, sign: float) -> Field:
    def drift(x: Tensor, t: Tensor) -> Tensor:
        amount = epsilon(t)
        if amount == 0:  # also where the score is infinite
            return process.velocity(x, t)
        b, s = velocity_and_score(process, x, t)
        return b + sign * amount.to(x) * s

    return drift
