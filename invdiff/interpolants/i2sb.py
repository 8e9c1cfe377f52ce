r"""The image-to-image Schroedinger bridge of :cite:t:`liu2023` as an interpolant.

Its time n runs from the clean to the degraded image; with :math:`\sigma_n^2` the sum of the first n
betas and :math:`\sigma_N^2` that of all, our time is

.. math:: t = 1 - \sigma_n^2 / \sigma_N^2, \qquad x_t = (1 - t) x_0 + t x_1 +
    \sigma_N \sqrt{t (1 - t)}\, z

x0 is degraded and x1 clean, so that the schedule of the betas only says where the steps are.
``sample_bridge`` with stochasticity 1 is its sampler; with a path without noise, as made by
``SymmetricBetas.interpolant(noisy=False)``, it is OT-ODE.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.gammas import BrownianGamma, NoGamma
from invdiff.interpolants.interpolant import TwoSided, beside
from invdiff.interpolants.paths import LinearPath
from invdiff.interpolants.process import Field

__all__ = ["SymmetricBetas", "drift_from_output", "i2sb_output", "i2sb_predict"]


@dataclass(frozen=True)
class SymmetricBetas:
    r"""Variances of the steps, small at both ends: :math:`\sqrt\beta` linear, then mirrored.

    The first half of ``num_steps`` roots from lowest to highest is used, so that the largest beta
    is about the mean of both roots, squared.

    Args:
        num_steps: Even.
        lowest: The first beta.
        highest: What beta would reach without the mirror.

    Raises:
        ValueError: An odd number of steps, or betas that are not positive and finite.
    """

    num_steps: int = 1000
    lowest: float = 1e-4
    highest: float = 3e-4

    def __post_init__(self) -> None:
        if self.num_steps < 2 or self.num_steps % 2:
            raise ValueError(f"SymmetricBetas: expected even num_steps, got {self.num_steps}")
        if not 0 < min(self.lowest, self.highest) <= max(self.lowest, self.highest) < float("inf"):
            raise ValueError(
                f"SymmetricBetas: expected betas > 0, got {self.lowest} and {self.highest}"
            )

    def betas(self) -> Tensor:
        """Return the variance of each step, ``(num_steps,)``, float64."""
        roots = torch.linspace(
            self.lowest**0.5, self.highest**0.5, self.num_steps, dtype=torch.float64
        )
        half = roots[: self.num_steps // 2] ** 2
        return torch.cat([half, half.flip(0)])

    def from_clean(self) -> Tensor:
        r"""Return :math:`\sigma_n^2` for n = 0 to N, ``(num_steps + 1,)``."""
        betas = self.betas()
        return torch.cat([betas.new_zeros(1), betas.cumsum(0)])

    def total(self) -> float:
        r"""Return :math:`\sigma_N^2`, the variance of the Brownian motion."""
        return float(self.betas().sum())

    def times(self) -> Tensor:
        """Return our times of all nodes, increasing from 0 to 1, ``(num_steps + 1,)``."""
        clean = self.from_clean()
        # the symmetry of the betas makes 1 - t of one half the t of the other
        return clean / clean[-1]

    def interpolant(self, *, noisy: bool = True) -> TwoSided:
        """Return the bridge; without noise, the path of OT-ODE."""
        return TwoSided(LinearPath(), BrownianGamma(self.total()) if noisy else NoGamma())


def i2sb_output(x: Tensor, x1: Tensor, t: Tensor, total: float) -> Tensor:
    r"""Return what the network of I2SB is to predict, :math:`(x_t - x_1) / \sigma_n`; t < 1.

    Args:
        x: x_t, ``(batch, *shape)``.
        x1: The clean image, or its mean given x_t.
        t: Our time, 0-dimensional or ``batch``.
        total: :math:`\sigma_N^2`.
    """
    return (x - x1) / _sigma(x, t, total)


def i2sb_predict(network: Field, total: float) -> Field:
    """Return E[x1 | x_t] from a network with the output of I2SB.

    Args:
        network: ``(x, t) -> E[(x_t - x1) / sigma_n | x_t = x]``, t being ours.
        total: The variance of the Brownian motion.
    """

    def predict(x: Tensor, t: Tensor) -> Tensor:
        return x - _sigma(x, t, total) * network(x, t)

    return predict


def drift_from_output(output: Tensor, t: Tensor, total: float) -> Tensor:
    r"""Return the forward drift :math:`b + \epsilon s = (E[x_1 | x_t] - x_t) / (1 - t)`; t < 1.

    With :math:`\epsilon = \sigma_N^2 / 2` the drift of a Brownian bridge doesn't contain x0.

    Args:
        output: Of the network of I2SB, ``(batch, *shape)``.
        t: Our time, 0-dimensional or ``batch``.
        total: :math:`\sigma_N^2`.
    """
    return -total / _sigma(output, t, total) * output


def _sigma(like: Tensor, t: Tensor, total: float) -> Tensor:
    return beside((total * (1 - t)).sqrt(), like)
