"""A network that learns only how a field differs from that of normal ends."""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor, nn

from invdiff.interpolants.interpolant import Coefficients, Interpolant
from invdiff.interpolants.losses import Objective

__all__ = ["GaussianSkip"]


class GaussianSkip(nn.Module):
    r"""The exact field of independent normal ends, plus a scaled network.

    With :math:`\sigma_0, \sigma_1` the spreads of the ends and
    :math:`V = \alpha^2 \sigma_0^2 + \beta^2 \sigma_1^2 + \gamma^2`,

    .. math:: f(x, t) = \frac{C(t)}{V(t)} x + c(t) F(x / \sqrt{V(t)}, t), \qquad
        C_b = \tfrac12 V', \quad C_v = \tfrac12 V' - \gamma\gamma', \quad C_s = -1, \quad
        C_\eta = \gamma

    the counterpart of the preconditioning of :cite:t:`karras2022`: the network sees numbers of
    unit variance at all times, and an output of order one is enough. Ends of another mean or shape
    are no error, the network has more to learn.

    Args:
        network: F, called as ``(x, t)`` or ``(x, t, condition)``.
        interpolant: The process.
        objective: Which field is meant.
        base_std: sigma_0, without effect where the interpolant has no x0.
        target_std: sigma_1, of each entry.

    Raises:
        ValueError: A spread that is not positive and finite, or an unknown objective.
    """

    def __init__(
        self,
        network: nn.Module,
        interpolant: Interpolant,
        objective: Objective,
        *,
        base_std: float = 1.0,
        target_std: float = 1.0,
    ) -> None:
        super().__init__()
        if not all(0 < std < math.inf for std in (base_std, target_std)):
            raise ValueError(
                f"GaussianSkip: expected base_std, target_std > 0, got {base_std} and {target_std}"
            )
        if objective not in get_args(Objective):
            raise ValueError(
                f"GaussianSkip: expected one of {get_args(Objective)}, got {objective!r}"
            )
        self.network, self.interpolant, self.objective = network, interpolant, objective
        self.base_std, self.target_std = base_std, target_std

    def check(self, interpolant: Interpolant, objective: Objective) -> None:
        """Refuse to be taken for another field.

        Raises:
            ValueError: Another interpolant or objective than its own.
        """
        if (self.interpolant, self.objective) != (interpolant, objective):
            raise ValueError(
                f"GaussianSkip: expected {self.objective} of {self.interpolant}, got {objective} "
                f"of {interpolant}"
            )

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the field for x ``(batch, *shape)``, t 0-dimensional or ``batch``."""
        c = self.interpolant.at(t).expanded(x)
        s0, s1 = self.base_std**2, self.target_std**2
        variance = c.alpha**2 * s0 + c.beta**2 * s1 + c.gamma**2
        spread = variance.sqrt()
        covariance, scale = self._parts(c, variance)
        inside = x / spread
        output = (
            self.network(inside, t) if condition is None else self.network(inside, t, condition)
        )
        field: Tensor = covariance / variance * x + scale * output
        return field

    def _parts(self, c: Coefficients, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Return the covariance of what is learnt with x_t, and the scale of the network."""
        one = torch.ones_like(variance)
        if self.objective == "eta":
            return c.gamma, one
        if self.objective == "s":
            return -one, variance.rsqrt()
        s0, s1 = self.base_std**2, self.target_std**2
        v = c.alpha * c.alpha_dot * s0 + c.beta * c.beta_dot * s1
        power = c.alpha_dot**2 * s0 + c.beta_dot**2 * s1
        if self.objective == "v":
            return v, power.sqrt()
        # gamma' z has the mean -gamma gamma' s, which is finite where gamma' is not
        return v + c.gamma_product, (power + c.gamma_product**2 / variance).sqrt()
