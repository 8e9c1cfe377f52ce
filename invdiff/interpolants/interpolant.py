"""Stochastic interpolants: every kind as one sum of two ends and a latent noise."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.interpolants.gammas import BrownianGamma, FoellmerGamma, Gamma, NoGamma
from invdiff.interpolants.paths import LinearPath, Path, PowerPath
from invdiff.linalg import expand_right

__all__ = ["MARGIN", "Coefficients", "Interpolant", "Mirror", "OneSided", "TwoSided", "beside",
           "foellmer"]  # fmt: skip

#: time at both ends where fields are neither learned nor asked unless wanted otherwise
MARGIN = 1e-4

_LINEAR, _BROWNIAN, _NO_GAMMA = LinearPath(), BrownianGamma(), NoGamma()


class Coefficients(NamedTuple):
    r"""Of :math:`x_t = \alpha x_0 + \beta x_1 + \gamma z` at a time, with time derivatives.

    ``gamma_product`` is :math:`\gamma\gamma'`, finite where ``gamma_dot`` is not.
    """

    alpha: Tensor
    beta: Tensor
    gamma: Tensor
    alpha_dot: Tensor
    beta_dot: Tensor
    gamma_dot: Tensor
    gamma_product: Tensor

    def expanded(self, x: Tensor) -> Coefficients:
        """Return them in the dtype of x ``(*batch, *shape)``, to be multiplied with it."""
        return Coefficients(*(beside(c, x) for c in self))


def beside(c: Tensor, x: Tensor) -> Tensor:
    """Return numbers, 0-dimensional or ``batch``, to be multiplied with x ``(*batch, *shape)``.

    Raises:
        ValueError: They are neither one nor one for each member of the batch.
    """
    if c.shape != x.shape[: c.ndim]:
        raise ValueError(
            f"expected one time, or one for each member of the batch, got times "
            f"{tuple(c.shape)} for x {tuple(x.shape)}"
        )
    c = c.to(x.dtype.to_real()).to(x.device)
    return expand_right(c, x.ndim - c.ndim)


class Interpolant(abc.ABC):
    r"""A process :math:`x_t = \alpha(t) x_0 + \beta(t) x_1 + \gamma(t) z`, z standard normal.

    :cite:t:`albergo2023`. Times are 0-dimensional or one for each member of the batch.
    """

    #: whether x_t contains x0; otherwise x0 may be None
    has_x0: bool = True

    @abc.abstractmethod
    def at(self, t: Tensor) -> Coefficients:
        """Return the coefficients at t in [0, 1], each of the shape of t."""

    def point(self, t: Tensor, x0: Tensor | None, x1: Tensor, z: Tensor) -> Tensor:
        """Return x_t, of the shape of x1 ``(*batch, *shape)``.

        Raises:
            ValueError: No x0 where there has to be one, or parts of other shapes than x1.
        """
        self._check(x0, x1, z)
        c = self.at(t).expanded(x1)
        x = c.beta * x1 + c.gamma * z
        return x if x0 is None else x + c.alpha * x0

    def path_velocity(self, t: Tensor, x0: Tensor | None, x1: Tensor) -> Tensor:
        """Return alpha' x0 + beta' x1, whose mean given x_t is v.

        Raises:
            ValueError: No x0 where there has to be one, or one of another shape than x1.
        """
        self._check(x0, x1)
        c = self.at(t).expanded(x1)
        return c.beta_dot * x1 if x0 is None else c.alpha_dot * x0 + c.beta_dot * x1

    def _check(self, x0: Tensor | None, *others: Tensor) -> None:
        if x0 is None and self.has_x0:
            raise ValueError(f"expected an x0 for {self}, got None")
        shapes = [tuple(part.shape) for part in (x0, *others) if part is not None]
        # another shape would be broadcast to pairs of each with each
        if any(shape != shapes[0] for shape in shapes):
            raise ValueError(f"expected x0, x1 and z of one shape, got {shapes}")


@dataclass(frozen=True)
class TwoSided(Interpolant):
    """Between a base x0 and a target x1, independent or coupled.

    Args:
        path: alpha and beta.
        gamma: Scale of the latent noise.
    """

    path: Path = _LINEAR
    gamma: Gamma = _BROWNIAN

    def at(self, t: Tensor) -> Coefficients:
        """Return the coefficients."""
        p, g = self.path.at(t, self.gamma), self.gamma
        return Coefficients(
            p.alpha, p.beta, g.value(t), p.alpha_dot, p.beta_dot, g.dot(t), g.product(t)
        )


@dataclass(frozen=True)
class OneSided(Interpolant):
    r"""From noise to a target, :math:`x_t = a(t) z + \beta(t) x_1`: gamma is the path's alpha.

    Args:
        path: a and beta; linear gives rectified flow, trigonometric a variance-preserving process.
    """

    path: Path = _LINEAR
    has_x0 = False

    def at(self, t: Tensor) -> Coefficients:
        """Return the coefficients; gamma(0) = 1."""
        p = self.path.at(t, _NO_GAMMA)
        zero = torch.zeros_like(t)
        return Coefficients(
            zero, p.beta, p.alpha, zero, p.beta_dot, p.alpha_dot, p.alpha * p.alpha_dot
        )


@dataclass(frozen=True)
class Mirror(Interpolant):
    r"""From the target to itself through noise, :math:`x_t = x_1 + \gamma(t) z`.

    Args:
        gamma: Scale of the noise.
    """

    gamma: Gamma = _BROWNIAN
    has_x0 = False

    def at(self, t: Tensor) -> Coefficients:
        """Return the coefficients; beta = 1."""
        g, zero = self.gamma, torch.zeros_like(t)
        return Coefficients(
            zero, torch.ones_like(t), g.value(t), zero, zero, g.dot(t), g.product(t)
        )


def foellmer(scale: float = 1.0, power: float = 2.0) -> TwoSided:
    r"""Return :math:`x_t = (1 - t) x_0 + t^p x_1 + \sqrt t\, \sigma (1 - t) z`, for forecasts.

    Given x0, the present, this is the point-source process of :cite:t:`chen2024`; its SDE with
    :math:`\epsilon = \sigma^2 (1 - t)^2 / 2` starts in x0 itself.

    Args:
        scale: sigma > 0.
        power: p >= 1.
    """
    return TwoSided(PowerPath(power), FoellmerGamma(scale))
