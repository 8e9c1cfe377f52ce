r"""Walk from a degraded image to a clean one by guessing the clean one at each step.

In an interpolant :math:`x_t = \alpha x_0 + \beta x_1 + \gamma z` x0 is the degraded image (t = 0),
x1 the clean one (t = 1). A step goes from t to t' > t by

.. math:: x_{t'} = \alpha' x_0 + \beta' \hat x_1 + \sqrt{\gamma'^2 - s^2}\, \hat z + s n, \qquad
    \hat z = (x_t - \alpha x_0 - \beta \hat x_1) / \gamma, \qquad
    s = \eta \gamma' \sqrt{1 - \rho^2}, \quad \rho = \beta\gamma' / (\beta'\gamma)

with a standard normal n. If the guess is x1 itself, :math:`x_{t'}` has the law of the interpolant
given both ends, whatever the stochasticity :math:`\eta`. With :math:`\eta = 1` the noise from t' to
t is Markov: this is the posterior of DDPM, and for a Brownian bridge, with :math:`\alpha = 1 - t`,
that of I2SB :cite:p:`liu2023` and BBDM :cite:p:`li2023`, in which x0 cancels. With
:math:`\eta = 0` it is DDIM. These papers count time the other way: their x_0 is the clean image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.integrators import StepCallback, check_times
from invdiff.interpolants.interpolant import Coefficients, Interpolant, beside
from invdiff.interpolants.process import Field

__all__ = ["BridgeKernel", "bridge_kernel", "bridge_step", "sample_bridge"]


class BridgeKernel(NamedTuple):
    """Weights of x0, x1 and x_t in the mean of a later value, and its standard deviation."""

    base: Tensor
    target: Tensor
    current: Tensor
    std: Tensor

    def mean(self, x: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """Return the mean of the later value, of the shape of x ``(*batch, *shape)``."""
        base, target, current, _ = self._expanded(x)
        return base * x0 + target * x1 + current * x

    def point(self, x: Tensor, x0: Tensor, x1: Tensor, n: Tensor) -> Tensor:
        """Return the later value for standard normals n."""
        return self.mean(x, x0, x1) + self._expanded(x)[-1] * n

    def _expanded(self, x: Tensor) -> list[Tensor]:
        return [beside(c, x) for c in self]


def bridge_kernel(
    interpolant: Interpolant, t: Tensor, end: Tensor, stochasticity: float = 1.0
) -> BridgeKernel:
    r"""Return the law of the value at ``end`` given the one at t and both ends of the interpolant.

    Where gamma is 0 there is no noise to carry on: at the start all of that at ``end`` is drawn,
    and without any latent noise x0 is read off x_t, which gives the ODE (OT-ODE of I2SB),
    :math:`x_{t'} = (\alpha'/\alpha) x_t + (\beta' - \alpha'\beta/\alpha) \hat x_1`.

    Args:
        interpolant: From the degraded to the clean image.
        t: In [0, 1), 0-dimensional or ``batch``.
        end: Later times, of the shape of t.
        stochasticity: eta in [0, 1].

    Raises:
        ValueError: The stochasticity is out of range, or the end is not later.
    """
    if not 0 <= stochasticity <= 1:
        raise ValueError(f"bridge_kernel: expected stochasticity in [0, 1], got {stochasticity}")
    if not bool(((t >= 0) & (t < end) & (end <= 1)).all()):
        raise ValueError(f"bridge_kernel: expected 0 <= t < end <= 1, got {t} and {end}")
    now, later = interpolant.at(t), interpolant.at(end)
    current, std = _carried(now, later, stochasticity)
    return BridgeKernel(
        later.alpha - current * now.alpha, later.beta - current * now.beta, current, std
    )


def bridge_step(
    x: Tensor,
    x0: Tensor,
    x1: Tensor,
    kernel: BridgeKernel,
    noise: Callable[[], Tensor] | None,
) -> Tensor:
    """Draw the next value.

    Args:
        x: x_t, ``(batch, *shape)``.
        x0: The degraded image; of no weight for an interpolant without x0.
        x1: A guess of the clean image.
        kernel: The step.
        noise: Standard normals; not called by a step without noise.

    Raises:
        ValueError: The step needs noise and has none.
    """
    if not bool((kernel.std > 0).any()):
        return kernel.mean(x, x0, x1)
    if noise is None:
        raise ValueError("bridge_step: expected noise, the step has a random part")
    return kernel.point(x, x0, x1, noise())


def sample_bridge(
    predict: Field,
    interpolant: Interpolant,
    x0: Tensor,
    times: Tensor,
    *,
    stochasticity: float = 1.0,
    noise: Callable[[], Tensor] | None = None,
    correct: Field | None = None,
    callback: StepCallback | None = None,
) -> Tensor:
    """Draw clean images given degraded ones.

    The law is that of x1 given x0, up to the size of the steps, if the prediction is the mean given
    x_t and x0, and gamma / beta is unbounded at t = 0, as it is for Brownian and Foellmer bridges:
    otherwise x_t already knows something of x1 just after the start, and no guess replaces it. A
    prediction that doesn't know x0 is enough for the law of x1 where x0 cancels.

    Args:
        predict: ``(x, t) -> E[x1 | x_t = x, x0]``.
        interpolant: From the degraded (t = 0) to the clean image (t = 1); without x0, such as
            ``OneSided``, from noise.
        x0: Where to start, ``(batch, *shape)``: the degraded images, or noise.
        times: ``(steps + 1,)``, increasing from 0, to 1 for a clean image.
        stochasticity: eta in [0, 1]: 1 for DDPM, I2SB and BBDM, 0 for DDIM.
        noise: Standard normals of the shape of x0 at each call, see ``SampleNoise``; None if no
            step is random.
        correct: ``(x1, t) -> x1``, applied to each prediction, such as a step towards the data.
        callback: Called with the number of each step, its end time and the values there.

    Raises:
        ValueError: Times that don't increase from 0, a stochasticity out of [0, 1], no noise for a
            random step.
    """
    check_times(times)
    if times[0] != 0:
        raise ValueError(f"sample_bridge: expected times from 0, got {times[0].item()}")
    x = x0
    for i in range(len(times) - 1):
        t, end = times[i], times[i + 1]
        x1 = predict(x, t)
        if correct is not None:
            x1 = correct(x1, t)
        x = bridge_step(x, x0, x1, bridge_kernel(interpolant, t, end, stochasticity), noise)
        if callback is not None:
            callback(i, end, x)
    return x


def _carried(now: Coefficients, later: Coefficients, eta: float) -> tuple[Tensor, Tensor]:
    """Return the weight of x_t and the standard deviation."""
    silent, one = now.gamma == 0, torch.ones_like(now.gamma)
    gamma = torch.where(silent, one, now.gamma)
    # above 1 where the noise grows faster than the signal: no Markov chain, all of it is carried on
    rho = (now.beta * later.gamma / (later.beta * gamma)).clamp(max=1)
    from_noise = later.gamma / gamma * (1 - eta**2 * (1 - rho**2)).sqrt()
    alpha = torch.where(now.alpha == 0, one, now.alpha)
    current = torch.where(silent, later.alpha / alpha, from_noise)
    std = torch.where(silent, later.gamma, eta * later.gamma * (1 - rho**2).sqrt())
    return current, std
