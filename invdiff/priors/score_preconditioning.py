"""What the outputs of networks of score SDEs mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from invdiff.priors.preconditioning import Network

__all__ = ["ContinuousVP", "EDMVarianceExploding", "ImprovedDDPM", "ScoreVE"]


@dataclass(frozen=True)
class ScoreVE:
    r"""Networks that give the score, told sigma :cite:p:`song2021`.

    .. math:: D = x + \sigma^2 s(x, \sigma)

    x and sigma are in the units of the images: [0, 1] for the published networks, that move them
    to [-1, 1] inside.
    """

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D for x ``(batch, channel, height, width)`` and sigma ``(batch, 1, 1, 1)``."""
        return x + sigma**2 * network(x, sigma.flatten())

    def output_scale(self, sigma: Tensor) -> Tensor:
        r"""Return :math:`\sigma`.

        The loss of :cite:t:`song2021` weighs the square error of the score by :math:`\sigma^2`: it
        is that of the noise :math:`-\sigma s`, alike at all levels.
        """
        return sigma


@dataclass(frozen=True)
class EDMVarianceExploding:
    r"""The preconditioning "ve" of :cite:t:`karras2022`, table 1, for images in [-1, 1].

    .. math:: D = x + \sigma F(x, \ln(\sigma / 2))
    """

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D for x ``(batch, channel, height, width)`` and sigma ``(batch, 1, 1, 1)``."""
        return x + sigma * network(x, (sigma / 2).log().flatten())

    def output_scale(self, sigma: Tensor) -> Tensor:
        r"""Return :math:`\sigma`."""
        return sigma


@dataclass(frozen=True)
class ContinuousVP:
    r"""Networks of real VP time that give the noise :cite:p:`song2021`.

    With :math:`\beta(t) = \beta_0 + (\beta_1 - \beta_0) t` on [0, 1]

    .. math:: \ln(1 + \sigma^2) = \int_0^t \beta, \qquad
        D = x - \sigma F\!\left(\frac{x}{\sqrt{1 + \sigma^2}}, (M - 1)\, t\right)

    the score of :math:`x_t` being :math:`-F / \mathrm{std}(x_t | x_0)`. EDM's "vp" is the same.

    Args:
        beta_min: :math:`\beta_0`.
        beta_max: :math:`\beta_1`.
        num_timesteps: M.

    Raises:
        ValueError: ``0 < beta_min < beta_max`` doesn't hold.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    num_timesteps: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.beta_min < self.beta_max < math.inf:
            raise ValueError(
                f"ContinuousVP: expected 0 < beta_min < beta_max, "
                f"got {self.beta_min} and {self.beta_max}"
            )

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D for x ``(batch, channel, height, width)`` and sigma ``(batch, 1, 1, 1)``."""
        label = (self.num_timesteps - 1) * self.time(sigma.flatten())
        return x - sigma * network(x * (1 + sigma**2).rsqrt(), label)

    def output_scale(self, sigma: Tensor) -> Tensor:
        r"""Return :math:`\sigma`."""
        return sigma

    def time(self, sigma: Tensor) -> Tensor:
        """Return t at which the noise is sigma; above 1 for more noise than a training saw."""
        # the stable root of the quadratic: a small sigma doesn't cancel
        total = (sigma.double() ** 2).log1p()
        slope = self.beta_max - self.beta_min
        root = (self.beta_min**2 + 2 * slope * total).sqrt()
        return (2 * total / (root + self.beta_min)).to(sigma.dtype)

    def sigma(self, time: Tensor) -> Tensor:
        """Return the noise at t."""
        t = time.double()
        total = self.beta_min * t + (self.beta_max - self.beta_min) * t**2 / 2
        return total.expm1().sqrt().to(time.dtype)


@dataclass(frozen=True)
class ImprovedDDPM:
    r"""The preconditioning "iddpm" of :cite:t:`karras2022`, table 1.

    .. math:: D = x - \sigma F\!\left(\frac{x}{\sqrt{1 + \sigma^2}}, M - 1 - j\right), \qquad
        j = \arg\min_j |u_j - \sigma|

    .. math:: u_{j-1} = \sqrt{\frac{u_j^2 + 1}{\max(\bar\alpha_{j-1} / \bar\alpha_j, C_1)} - 1},
        \quad u_M = 0, \quad \bar\alpha_j = \sin^2\!\left(\frac{\pi j}{2 M (C_2 + 1)}\right)

    j is at most M - 1: no training saw less noise. Further channels of F, a variance, are left out.

    Args:
        num_timesteps: M.
        ratio_floor: :math:`C_1`.
        offset: :math:`C_2`.
    """

    num_timesteps: int = 1000
    ratio_floor: float = 0.001
    offset: float = 0.008

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D for x ``(batch, channel, height, width)`` and sigma ``(batch, 1, 1, 1)``."""
        output = network(x * (1 + sigma**2).rsqrt(), self.time(sigma.flatten()))
        return x - sigma * output[:, : x.shape[1]]

    def output_scale(self, sigma: Tensor) -> Tensor:
        r"""Return :math:`\sigma`."""
        return sigma

    def time(self, sigma: Tensor) -> Tensor:
        """Return the training time of the level next to sigma, in the type of sigma."""
        table = torch.tensor(self.sigmas[:-1], dtype=torch.float64, device=sigma.device)
        nearest = (sigma.double()[:, None] - table).abs().argmin(dim=1)
        return (self.num_timesteps - 1 - nearest).to(sigma.dtype)

    @cached_property
    def sigmas(self) -> tuple[float, ...]:
        """Return the ``num_timesteps + 1`` levels u, falling from the most noise to 0."""
        steps, levels = self.num_timesteps, [0.0]
        kept = [
            math.sin(math.pi * j / (2 * steps * (self.offset + 1))) ** 2 for j in range(steps + 1)
        ]
        for j in range(steps, 0, -1):
            ratio = max(kept[j - 1] / kept[j], self.ratio_floor)
            levels.append(math.sqrt((levels[-1] ** 2 + 1) / ratio - 1))
        return tuple(reversed(levels))
