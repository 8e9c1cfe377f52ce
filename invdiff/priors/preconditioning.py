"""From what a network predicts to E[x0 | x]: one function per parameterisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

__all__ = [
    "EDM",
    "FlowMatching",
    "Preconditioning",
    "Prediction",
    "VariancePreserving",
]

Prediction = Literal["epsilon", "v_prediction", "sample"]
Network = Callable[[Tensor, Tensor], Tensor]


class Preconditioning(Protocol):
    r"""What the output F of a network means.

    .. math:: D = c_{skip}(\sigma)\, x + c_{out}(\sigma)\, F
    """

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D for x ``(batch, channel, height, width)`` and sigma ``(batch, 1, 1, 1)``."""
        ...

    def output_scale(self, sigma: Tensor) -> Tensor:
        r"""Return what the loss divides a denoising error by, in the shape of sigma.

        It is :math:`|c_{out}|`, so that :math:`\|D - x_0\|^2 / c_{out}^2` is the plain loss of the
        output; for networks that give a score, that of their noise.
        """
        ...


@dataclass(frozen=True)
class EDM:
    r"""The preconditioning of :cite:t:`karras2022`, eq. 7 and table 1.

    .. math:: D = c_{skip}\, x + c_{out}\, F(c_{in}\, x, \tfrac14 \ln \sigma)

    Args:
        sigma_data: Standard deviation of the data.
        prediction: "epsilon" for :math:`c_{out} > 0` as published, "v_prediction" for
            :math:`-c_{out}` (the convention of diffusers).
    """

    sigma_data: float = 0.5
    prediction: Prediction = "epsilon"

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D for x ``(batch, channel, height, width)`` and sigma ``(batch, 1, 1, 1)``."""
        total = sigma**2 + self.sigma_data**2
        sign = -1 if self.prediction == "v_prediction" else 1
        output = network(x / total.sqrt(), sigma.flatten().log() / 4)
        return (
            self.sigma_data**2 / total * x + sign * sigma * self.sigma_data / total.sqrt() * output
        )

    def output_scale(self, sigma: Tensor) -> Tensor:
        r"""Return :math:`\sigma \sigma_d / \sqrt{\sigma^2 + \sigma_d^2}`."""
        return sigma * self.sigma_data / (sigma**2 + self.sigma_data**2).sqrt()


@dataclass(frozen=True)
class VariancePreserving:
    r"""Networks of discrete DDPM time, :math:`x_t = \sqrt{\bar\alpha_t} (x_0 + \sigma_t n)`.

    Between two training times the network is called at the real t whose log sigma fits.

    Args:
        sigmas: :math:`\sqrt{(1 - \bar\alpha_t) / \bar\alpha_t}` for t = 0, 1, ..., increasing.
        prediction: What the network gives: the noise, v, or x0.
    """

    sigmas: tuple[float, ...]
    prediction: Prediction

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D for x ``(batch, channel, height, width)`` and sigma ``(batch, 1, 1, 1)``."""
        scale = (1 + sigma**2).rsqrt()
        output = network(scale * x, self.time(sigma.flatten()))
        if self.prediction == "sample":
            return output
        if self.prediction == "v_prediction":
            # v = sqrt(abar) n - sqrt(1 - abar) x0, so x0 = sqrt(abar) x_t - sqrt(1 - abar) v
            return scale**2 * x - sigma * scale * output
        return x - sigma * output

    def output_scale(self, sigma: Tensor) -> Tensor:
        r"""Return 1, :math:`\sigma` or :math:`\sigma / \sqrt{1 + \sigma^2}` for x0, noise or v."""
        if self.prediction == "sample":
            return torch.ones_like(sigma)
        return sigma if self.prediction == "epsilon" else sigma * (1 + sigma**2).rsqrt()

    def time(self, sigma: Tensor) -> Tensor:
        """Return the real training time at which the noise is sigma, clamped to the range."""
        table = torch.tensor(self.sigmas, dtype=torch.float64, device=sigma.device).log()
        value = sigma.double().log()
        upper = torch.searchsorted(table, value).clamp(1, len(table) - 1)
        low, high = table[upper - 1], table[upper]
        return (upper - 1 + ((value - low) / (high - low)).clamp(0, 1)).to(sigma.dtype)


@dataclass(frozen=True)
class FlowMatching:
    r"""Velocities of straight lines, :math:`x_t = (1 - t) x_0 + t n`, :math:`v = n - x_0`.

    With :math:`x = x_0 + \sigma n`: :math:`t = \sigma / (1 + \sigma)`, :math:`x_t = (1 - t) x` and
    :math:`D = x_t - t v` :cite:p:`lipman2023`. The network is told ``num_timesteps`` t.

    Args:
        num_timesteps: What the time 1 is called, 1000 by the convention of diffusers.
    """

    num_timesteps: float = 1000.0

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        """Return D for x ``(batch, channel, height, width)`` and sigma ``(batch, 1, 1, 1)``."""
        t = sigma / (1 + sigma)
        between = (1 - t) * x
        return between - t * network(between, self.num_timesteps * t.flatten())

    def output_scale(self, sigma: Tensor) -> Tensor:
        r"""Return :math:`\sigma / (1 + \sigma)`."""
        return sigma / (1 + sigma)
