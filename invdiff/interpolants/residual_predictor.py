r"""Networks that predict the clean end of a bridge, given the degraded one.

With :math:`r = x_1 - x_0` of spread :math:`\sigma_r`, the best that is known without a network is

.. math:: E[x_1] \approx x_0 + g d, \quad d = x_t - (\alpha + \beta) x_0 = \beta r + \gamma z, \quad
    g = \frac{\beta \sigma_r^2}{\beta^2 \sigma_r^2 + \gamma^2}, \quad
    s = \frac{\sigma_r \gamma}{\sqrt{\beta^2 \sigma_r^2 + \gamma^2}}

where s is the spread of what is left. As in :cite:t:`karras2022` the network predicts that
remainder in units of s from inputs of unit spread.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from invdiff.interpolants.couplings import Coupling, Draw
from invdiff.interpolants.fit import train_on_pairs
from invdiff.interpolants.interpolant import Interpolant
from invdiff.interpolants.losses import uniform_times
from invdiff.linalg import expand_right, ratio
from invdiff.training import Training, TrainingStep

__all__ = ["ResidualPredictor", "prediction_loss", "train_predictor"]


class ResidualPredictor(nn.Module):
    r"""The mean :math:`E[x_1 | x_t, x_0]` of images of one channel.

    .. math:: D(x_t, t, x_0) = x_0 + g d + s F(d / \sqrt{\beta^2\sigma_r^2 + \gamma^2}, t, x_0)

    Args:
        network: F, ``(x, t, condition) -> x`` of ``(batch, 1, height, width)``, see ``FieldUNet``.
        interpolant: With gamma > 0 inside.
        spread: sigma_r, root mean square of :math:`x_1 - x_0`.
        center: Subtracted from x0 before it enters the network.
        scale: What x0 is divided by then.

    Raises:
        ValueError: A spread or a scale that is not positive.
    """

    def __init__(
        self,
        network: nn.Module,
        interpolant: Interpolant,
        spread: float,
        center: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if not (spread > 0 and scale > 0):
            raise ValueError(
                f"ResidualPredictor: expected spread and scale > 0, got {spread} and {scale}"
            )
        self.network, self.interpolant = network, interpolant
        self.spread, self.center, self.scale = spread, center, scale

    def forward(self, x: Tensor, t: Tensor, x0: Tensor) -> Tensor:
        """Return D for x and x0 ``(*batch, height, width)``, t 0-dimensional or ``(batch,)``."""
        c = self.interpolant.at(t).expanded(x)
        offset = x - (c.alpha + c.beta) * x0
        total = c.beta**2 * self.spread**2 + c.gamma**2
        remainder = self.remainder(t).to(x)
        gain = ratio(c.beta * self.spread**2, total)
        inside = [offset * ratio(torch.ones_like(total), total.sqrt()),
                  (x0 - self.center) / self.scale]  # fmt: skip
        shape = (-1, 1, *x.shape[-2:])
        answer = self.network(inside[0].reshape(shape), t, inside[1].reshape(shape))
        remainder = expand_right(remainder, x.ndim - remainder.ndim)
        return x0 + gain * offset + remainder * answer.to(x.dtype).reshape(x.shape)

    def remainder(self, t: Tensor) -> Tensor:
        """Return s, of the shape of t: 0 where x_t tells x1, sigma_r where it tells nothing."""
        c = self.interpolant.at(t)
        total = c.beta**2 * self.spread**2 + c.gamma**2
        known = ratio(c.gamma**2, total)
        return self.spread * torch.where(total > 0, known, torch.ones_like(known)).sqrt()


def prediction_loss(
    predictor: Callable[[Tensor, Tensor, Tensor], Tensor],
    interpolant: Interpolant,
    draw: Draw,
    t: Tensor,
    z: Tensor,
    remainder: Tensor,
) -> Tensor:
    r"""Return :math:`|D - x_1|^2 / s^2` of each pair, the mean over its pixels, ``(batch,)``.

    The minimum is the mean of x1. So is that of ``interpolant_loss`` told x0: given x0 and x_t the
    error of b is :math:`\beta' - \beta\gamma'/\gamma` times that of D. Both are the same regression
    with other weights in t; here every time has a loss of about 1 before anything is learnt.

    Args:
        predictor: ``(x, t, x0) -> E[x1]``.
        interpolant: Its process.
        draw: Pairs with x0.
        t: ``(batch,)``.
        z: Standard normal, of the shape of x1.
        remainder: s, ``(batch,)``.

    Raises:
        ValueError: Pairs without x0.
    """
    if draw.x0 is None:
        raise ValueError("prediction_loss: expected pairs with x0")
    x = interpolant.point(t, draw.x0, draw.x1, z)
    error = (predictor(x, t, draw.x0) - draw.x1).flatten(1)
    return (error**2).mean(1) / remainder.to(error) ** 2


def train_predictor(
    predictor: ResidualPredictor,
    coupling: Coupling,
    training: Training,
    *,
    batch_size: int,
    start_share: float,
    generator: torch.Generator,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a predictor in place and return the average of its weights.

    Args:
        predictor: On the device of the generator.
        coupling: Draws pairs ``(batch, 1, height, width)``.
        training: The optimisation.
        batch_size: Pairs of each step.
        start_share: Share of the times that are 0, in [0, 1]: every sample begins there, with the
            only call that sees x0 alone; 1 trains a regression of x1 on x0.
        generator: The only source of randomness.
        callback: Called after each step.

    Raises:
        ValueError: A loss that diverged, a batch below 1, or a share out of [0, 1].
    """
    if not 0 <= start_share <= 1:
        raise ValueError(f"train_predictor: expected start_share in [0, 1], got {start_share}")

    def times(count: int, generator: torch.Generator) -> Tensor:
        t = uniform_times(count, generator)
        first = torch.rand(count, generator=generator, device=generator.device) < start_share
        return torch.where(first, torch.zeros_like(t), t)

    def loss(current: nn.Module, draw: Draw, t: Tensor, z: Tensor) -> Tensor:
        remainder = predictor.remainder(t)
        return prediction_loss(current, predictor.interpolant, draw, t, z, remainder)

    return train_on_pairs(
        predictor,
        loss,
        coupling,
        training,
        batch_size=batch_size,
        generator=generator,
        times=times,
        callback=callback,
    )
