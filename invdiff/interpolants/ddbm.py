r"""The bridge of a diffusion (DDBM, :cite:t:`zhou2024`): a diffusion conditioned on where it ends.

A diffusion with marginals :math:`N(a(u) x_1, a(u)^2 \nu(u))` runs with u from the clean image to
noise. Doob's h-transform makes it end in the degraded image x0 at u = 1. Our time is t = 1 - u:

.. math:: x_t = \frac{r a}{a(1)} x_0 + a (1 - r) x_1 + a \sqrt{\nu (1 - r)}\, z, \qquad
    r = \nu(u) / \nu(1)

r is the quotient of the signal-to-noise ratios at the end and at u.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.interpolant import Coefficients, Interpolant, beside

__all__ = ["Diffusion", "DiffusionBridge", "DiffusionPoint", "VarianceExplodingDiffusion",
           "VariancePreservingDiffusion"]  # fmt: skip


class DiffusionPoint(NamedTuple):
    """Scale of the image and variance of the noise over it, with derivatives in u."""

    scale: Tensor
    ratio: Tensor
    scale_dot: Tensor
    ratio_dot: Tensor


class Diffusion(abc.ABC):
    """A diffusion from an image at u = 0 to noise at u = 1."""

    @abc.abstractmethod
    def at(self, u: Tensor) -> DiffusionPoint:
        r"""Return a, :math:`\nu`, a' and :math:`\nu'`, each of the shape of u."""

    def squared_diffusion(self, u: Tensor) -> Tensor:
        r"""Return :math:`g^2 = a^2 \nu'`."""
        p = self.at(u)
        return p.scale**2 * p.ratio_dot


@dataclass(frozen=True)
class VarianceExplodingDiffusion(Diffusion):
    r"""Noise of standard deviation :math:`\sigma_{max} u` is added.

    Args:
        sigma_max: Standard deviation at the end, > 0.

    Raises:
        ValueError: It is not positive and finite.
    """

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_max < math.inf:
            raise ValueError(
                f"VarianceExplodingDiffusion: expected sigma_max > 0, got {self.sigma_max}"
            )

    def at(self, u: Tensor) -> DiffusionPoint:
        """Return the marginals."""
        square = self.sigma_max**2
        return DiffusionPoint(
            torch.ones_like(u), square * u**2, torch.zeros_like(u), 2 * square * u
        )


@dataclass(frozen=True)
class VariancePreservingDiffusion(Diffusion):
    r""":math:`dx = -\frac{\beta}{2} x\, du + \sqrt\beta\, dW` with a linear :math:`\beta(u)`.

    Args:
        beta_min: At the image, >= 0.
        beta_max: At the noise, > 0.

    Raises:
        ValueError: A number out of its range.
    """

    beta_min: float = 0.1
    beta_max: float = 2.0

    def __post_init__(self) -> None:
        if not (0 <= self.beta_min < math.inf and 0 < self.beta_max < math.inf):
            raise ValueError(
                f"VariancePreservingDiffusion: expected beta_min >= 0 and beta_max > 0, got "
                f"{self.beta_min} and {self.beta_max}"
            )

    def at(self, u: Tensor) -> DiffusionPoint:
        """Return the marginals."""
        slope = self.beta_max - self.beta_min
        beta, integral = self.beta_min + slope * u, self.beta_min * u + slope * u**2 / 2
        scale = (-integral / 2).exp()
        return DiffusionPoint(scale, integral.expm1(), -beta * scale / 2, beta * integral.exp())


@dataclass(frozen=True)
class DiffusionBridge(Interpolant):
    """A diffusion that is known to end in x0, run backwards.

    Args:
        diffusion: The one without the condition.
    """

    diffusion: Diffusion

    def at(self, t: Tensor) -> Coefficients:
        """Return the coefficients at our t = 1 - u."""
        p, end = self.diffusion.at(1 - t), self.diffusion.at(torch.ones_like(t))
        r, r_dot = p.ratio / end.ratio, p.ratio_dot / end.ratio
        square = p.scale**2 * p.ratio * (1 - r)
        # half the derivative of the square, in u
        slope = p.scale * p.scale_dot * p.ratio * (1 - r)
        slope = slope + p.scale**2 * p.ratio_dot * (1 - 2 * r) / 2
        gamma = square.clamp(min=0).sqrt()
        return Coefficients(
            alpha=r * p.scale / end.scale,
            beta=p.scale * (1 - r),
            gamma=gamma,
            alpha_dot=-(r_dot * p.scale + r * p.scale_dot) / end.scale,
            beta_dot=r_dot * p.scale - p.scale_dot * (1 - r),
            gamma_dot=-slope / gamma,
            gamma_product=-slope,
        )

    def epsilon(self, t: Tensor) -> Tensor:
        r"""Return :math:`g^2 / 2`, with which the SDE is the reversed diffusion."""
        return self.diffusion.squared_diffusion(1 - t) / 2

    def pull(self, x: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        r"""Return h, the gradient in x of the log density of the diffusion to end in x0.

        .. math:: h = \frac{a(1)}{a} \cdot \frac{x_0 - x\, a(1) / a}{a(1)^2 (\nu(1) - \nu)}

        Args:
            x: x_t, ``(batch, *shape)``.
            x0: The degraded image.
            t: Our time, in (0, 1], 0-dimensional or ``batch``.
        """
        p, end = self.diffusion.at(1 - t), self.diffusion.at(torch.ones_like(t))
        growth = beside(end.scale / p.scale, x)
        return growth * (x0 - growth * x) / beside(end.scale**2 * (end.ratio - p.ratio), x)
