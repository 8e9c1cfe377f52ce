r"""The SDEs of an interpolant: one family with the same marginals, forwards and backwards.

.. math::
    dX = (b + \epsilon s)\, dt + \sqrt{2 \epsilon}\, dW \quad \text{(t increases)}, \qquad
    dX = (b - \epsilon s)\, dt + \sqrt{2 \epsilon}\, dW_B \quad \text{(t decreases)}

:cite:t:`albergo2023`, theorem 2.11.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon
from invdiff.interpolants.integrators import StepCallback
from invdiff.interpolants.process import Process

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
    callback: StepCallback | None = None,
) -> Tensor:
    """Integrate the SDE along a grid of times: the forward one if it increases.

    Args:
        process: Gives b and s.
        x: Values at ``times[0]``, ``(batch, *shape)``.
        times: ``(steps + 1,)``, monotonic.
        epsilon: Amount of noise.
        noise: Standard normals of the shape of x at each call, see ``SampleNoise``.
        method: Euler-Maruyama, or Heun's method with the noise added first; both of weak order 1.
        callback: Called with the number of each step, its end time and the values there.
    """
    sign = 1.0 if times[-1] > times[0] else -1.0

    def drift(x: Tensor, t: Tensor) -> Tensor:
        return process.velocity(x, t) + sign * epsilon(t).to(x) * process.score(x, t)

    for i in range(len(times) - 1):
        t, end = times[i], times[i + 1]
        h = (end - t).to(x)
        scattered = x + (2 * epsilon(t) * (end - t).abs()).sqrt().to(x) * noise()
        if method == "euler":
            x = scattered + h * drift(x, t)
        else:
            slope = drift(scattered, t)
            x = scattered + h * (slope + drift(scattered + h * slope, end)) / 2
        if callback is not None:
            callback(i, end, x)
    return x
