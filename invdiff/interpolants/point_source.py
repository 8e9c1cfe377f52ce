r"""Processes that start in one point, the present, and end in the law of what comes next.

With :math:`\sigma(t) = \sigma (1 - t)` and a Brownian motion W,

.. math:: x_t = \alpha x_0 + \beta x_1 + \sigma(t) W_t, \qquad
    b_F(x, t, x_0) = E[\alpha' x_0 + \beta' x_1 + \sigma' W_t \mid x_t = x, x_0], \qquad
    dX = b_F\, dt + \sigma(t)\, dW, \quad X_0 = x_0

:cite:t:`chen2024`. The drift is what a square loss finds from pairs of present and next, and it is
finite from t = 0 on, where the score of a point is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from invdiff.interpolants.diffusion import Epsilon, PointSourceEpsilon
from invdiff.interpolants.gammas import FoellmerGamma
from invdiff.interpolants.interpolant import Coefficients, TwoSided, beside

__all__ = ["Drift", "PointSource", "point_source_scale"]

# (x, t, x0) -> b_F, x and x0 (*batch, *shape), t 0-dimensional or batch; as networks are called
Drift = Callable[[Tensor, Tensor, Tensor], Tensor]


def point_source_scale(interpolant: TwoSided) -> float:
    """Return sigma of an interpolant such as ``foellmer``.

    Raises:
        ValueError: Another gamma.
    """
    if not (isinstance(interpolant, TwoSided) and isinstance(interpolant.gamma, FoellmerGamma)):
        raise ValueError(f"expected a TwoSided interpolant with FoellmerGamma, got {interpolant}")
    return interpolant.gamma.scale


@dataclass(frozen=True)
class PointSource:
    r"""A learned or exact drift, and what follows from it given x0.

    .. math:: W_t = \frac{\beta b_F - \beta' x - (\beta \alpha' - \beta' \alpha) x_0}
        {\beta \sigma' - \beta' \sigma(t)}, \qquad s = -\frac{E[W_t]}{t\, \sigma(t)}

    Args:
        interpolant: Such as ``foellmer``.
        drift: b_F.

    Raises:
        ValueError: An interpolant with another gamma.
    """

    interpolant: TwoSided
    drift: Drift

    def __post_init__(self) -> None:
        point_source_scale(self.interpolant)

    def own_epsilon(self, t: Tensor) -> Tensor:
        """Return the epsilon that the drift belongs to."""
        return PointSourceEpsilon(point_source_scale(self.interpolant))(t)

    def score(self, x: Tensor, t: Tensor, x0: Tensor) -> Tensor:
        """Return s for x and x0 ``(*batch, *shape)``, t 0-dimensional or ``batch``, 0 < t < 1."""
        return self._score(x, self.drift(x, t, x0), t, x0)

    def velocity(self, x: Tensor, t: Tensor, x0: Tensor) -> Tensor:
        """Return b, whose ODE has the same marginals from some t > 0 on."""
        drift = self.drift(x, t, x0)
        return drift - beside(self.own_epsilon(t), x) * self._score(x, drift, t, x0)

    def forward_drift(self, x: Tensor, t: Tensor, x0: Tensor, epsilon: Epsilon) -> Tensor:
        r"""Return :math:`b_F + (\epsilon - \sigma(t)^2 / 2) s`, the drift of another noise."""
        drift = self.drift(x, t, x0)
        more = beside(epsilon(t) - self.own_epsilon(t), x)
        return drift + more * self._score(x, drift, t, x0)

    def _score(self, x: Tensor, drift: Tensor, t: Tensor, x0: Tensor) -> Tensor:
        scale = point_source_scale(self.interpolant)
        c: Coefficients = self.interpolant.at(t).expanded(x)
        t, sigma = beside(t, x), scale * (1 - beside(t, x))
        known = (c.beta * c.alpha_dot - c.beta_dot * c.alpha) * x0
        numerator = c.beta * drift - c.beta_dot * x - known
        return numerator / (t * sigma * (scale * c.beta + c.beta_dot * sigma))
