r"""Rectified flow :cite:p:`liu2023flow`: a flow along lines, straightened by its own pairs.

The flow of :math:`x_t = (1 - t) x_0 + t x_1` maps each x0 to an x1. These pairs, used again as the
coupling ("reflow"), have a transport cost that is not larger, and a straighter flow: one step
of Euler's method is then nearly enough.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from invdiff.interpolants.couplings import PairedCoupling
from invdiff.interpolants.fit import train_field
from invdiff.interpolants.gammas import NoGamma
from invdiff.interpolants.integrators import OdeMethod, integrate_ode
from invdiff.interpolants.interpolant import TwoSided, beside
from invdiff.interpolants.paths import LinearPath
from invdiff.interpolants.process import Field
from invdiff.training import Training, TrainingStep

__all__ = ["ReflowedGaussian", "rectified", "reflow", "reflow_pairs", "straightness",
           "transport_cost"]  # fmt: skip


def rectified() -> TwoSided:
    """Return the interpolant along lines without latent noise."""
    return TwoSided(LinearPath(), NoGamma())


def reflow_pairs(
    velocity: Field, x0: Tensor, times: Tensor, *, method: OdeMethod = "heun"
) -> PairedCoupling:
    """Return the pairs that a flow makes.

    Args:
        velocity: Of the flow.
        x0: Draws of the base, ``(pairs, *shape)``.
        times: ``(steps + 1,)``, increasing from 0 to 1, or from and to nearly so.
        method: Of the ODE.
    """
    with torch.no_grad():
        return PairedCoupling(x0, integrate_ode(velocity, x0, times, method=method))


def reflow(
    network: nn.Module,
    pairs: PairedCoupling,
    training: Training,
    *,
    batch_size: int,
    generator: torch.Generator,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place on the pairs of a flow and return the average of its weights.

    Args:
        network: ``(x, t) -> (batch, *shape)``, the velocity of the straightened flow.
        pairs: See ``reflow_pairs``.
        training: The optimisation.
        batch_size: Pairs of each step.
        generator: On the device of the network.
        callback: Called after each step.
    """
    return train_field(
        network,
        "b",
        rectified(),
        pairs,
        training,
        batch_size=batch_size,
        generator=generator,
        antithetic=False,  # there is no latent noise
        callback=callback,
    )


def transport_cost(pairs: PairedCoupling) -> float:
    r"""Return the mean of :math:`\|x_1 - x_0\|^2`."""
    return float(((pairs.x1 - pairs.x0) ** 2).flatten(1).sum(1).mean())


def straightness(velocity: Field, x0: Tensor, times: Tensor) -> float:
    r"""Return how far a flow is from straight lines, 0 if one step of Euler's method is exact.

    .. math:: S = \int_0^1 E \|(x_1 - x_0) - b(x_t, t)\|^2\, dt

    along the flow itself, with the midpoints of the steps.

    Args:
        velocity: b.
        x0: Draws of the base, ``(count, *shape)``.
        times: ``(steps + 1,)``, increasing from 0 to 1.
    """
    slopes: list[Tensor] = []

    def recorded(x: Tensor, t: Tensor) -> Tensor:
        slopes.append(velocity(x, t))
        return slopes[-1]

    with torch.no_grad():
        x1 = integrate_ode(recorded, x0, times, method="midpoint")
    middle = torch.stack(slopes[1::2])
    square = ((x1 - x0 - middle) ** 2).flatten(2).sum(2).mean(1)
    return float((times.diff().to(square) * square).sum())


class ReflowedGaussian:
    r"""The flow from white noise to N(m, S) after one reflow, in closed form.

    The flow of independent ends maps x0 to :math:`m + S^{1/2} x_0`; the flow of these pairs has

    .. math:: b(x, t) = m + (S^{1/2} - I) ((1 - t) I + t S^{1/2})^{-1} (x - t m)

    and straight lines. It is the optimal transport.

    Args:
        mean: m, ``(dim,)``.
        covariance: S, ``(dim, dim)``, symmetric and positive definite.

    Raises:
        ValueError: Another shape, or a covariance that is not positive definite.
    """

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        if covariance.shape != (len(mean), len(mean)):
            raise ValueError(
                f"ReflowedGaussian: expected a covariance of {len(mean)} numbers squared, got "
                f"{tuple(covariance.shape)}"
            )
        values, self._vectors = torch.linalg.eigh(covariance)
        if not values[0] > 0:
            raise ValueError(
                f"ReflowedGaussian: expected a positive definite covariance, got {values[0]}"
            )
        self._mean, self._roots = mean, values.sqrt()

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b for x ``(*batch, dim)``, t 0-dimensional or ``batch``."""
        t = beside(t, x)
        gain = (self._roots - 1) / (1 - t + t * self._roots)
        coordinates = (x - t * self._mean) @ self._vectors
        return self._mean + (gain * coordinates) @ self._vectors.T
