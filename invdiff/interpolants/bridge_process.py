r"""The fields of an interpolant that is pinned at its degraded end.

Given x0, :math:`x_t = \alpha x_0 + \beta x_1 + \gamma z` has one unknown: a guess of x1 is a guess
of z:

.. math:: \eta = \frac{x - \alpha x_0 - \beta E[x_1 | x_t = x, x_0]}{\gamma}, \quad
    b = \alpha' x_0 + \beta' E[x_1 | x_t = x, x_0] + \gamma' \eta, \quad s = -\eta / \gamma
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import Interpolant
from invdiff.interpolants.process import Field

__all__ = ["BridgeProcess", "predict_from_denoiser"]


@dataclass(frozen=True, eq=False)
class BridgeProcess:
    """A process given x0, from the mean of the clean image; singular where gamma is 0.

    Its law at t = 0 is a point: start an ODE or SDE with a step of ``sample_bridge``.

    Args:
        interpolant: From the degraded (t = 0) to the clean image (t = 1).
        predict: ``(x, t) -> E[x1 | x_t = x, x0]``.
        x0: The degraded images, ``(batch, *shape)``.
    """

    interpolant: Interpolant
    predict: Field
    x0: Tensor

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b(x, t) given x0."""
        return self.both(x, t)[0]

    def noise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return eta(x, t) given x0."""
        c = self.interpolant.at(t).expanded(x)
        return (x - c.alpha * self.x0 - c.beta * self.predict(x, t)) / c.gamma

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s(x, t) given x0."""
        return self.both(x, t)[1]

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b(x, t) and s(x, t) given x0, at one prediction."""
        c, x1 = self.interpolant.at(t).expanded(x), self.predict(x, t)
        s = -(x - c.alpha * self.x0 - c.beta * x1) / c.gamma**2
        return c.alpha_dot * self.x0 + c.beta_dot * x1 - c.gamma_product * s, s


def predict_from_denoiser(
    denoiser: Field, interpolant: Interpolant, x0: Tensor, *, sigma_max: float
) -> Field:
    r"""Return E[x1 | x_t, x0] from a denoiser of the diffusion of x1 given x0.

    Without its part in x0 and scaled, x_t is a clean image in white noise (the aligned input of
    :cite:t:`wang2025`), so that a diffusion model can be used on a bridge without being retrained:

    .. math:: E[x_1 | x_t = x, x_0] = D\!\left(\frac{x - \alpha x_0}{\beta},
        \frac{\gamma}{\beta}\right)

    Args:
        denoiser: ``(y, sigma) -> E[x1 | x1 + sigma n = y]``, of the law of x1 given x0.
        interpolant: The bridge.
        x0: The degraded images, ``(batch, *shape)``.
        sigma_max: Stands for the infinite noise level where beta is 0; a level above it is cut.

    Raises:
        ValueError: sigma_max is not positive.
    """
    if not sigma_max > 0:
        raise ValueError(f"predict_from_denoiser: expected sigma_max > 0, got {sigma_max}")

    def predict(x: Tensor, t: Tensor) -> Tensor:
        c = interpolant.at(t)
        sigma = torch.where(c.beta > 0, c.gamma / c.beta, sigma_max).clamp(max=sigma_max)
        known = c.expanded(x)
        beta = torch.where(known.beta > 0, known.beta, torch.ones_like(known.beta))
        level = sigma.to(x.dtype.to_real()).to(x.device)
        return denoiser((x - known.alpha * x0) / beta, level)

    return predict
