r"""The Schroedinger bridge by a search among the interpolants between two laws.

With :math:`I_t = (1 - t) x_0 + t x_1 + t (1 - t) f(x_0, x_1, t)` and
:math:`\gamma = \sigma\sqrt{t (1 - t)}`, :math:`\epsilon = \sigma^2 / 2`, the forward drift of the
SDE of :math:`x_t = I_t + \gamma z` minimises an objective whose minimum is minus its energy. The
bridge has the least energy:

.. math:: \max_f \min_u \int_0^1 E\Big[\tfrac12 |u|^2 -
    \big(\dot I_t + (\gamma' - \epsilon / \gamma) z\big) \cdot u\Big] dt, \qquad
    u = u(x_t, t), \quad \gamma' - \frac{\epsilon}{\gamma} = -\sigma \sqrt{\frac{t}{1 - t}}

:cite:t:`albergo2023`, section 3.4. Both ends are exact whatever f is. They may be independent: only
the laws of x_t count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from invdiff.interpolants.couplings import Coupling, Draw
from invdiff.interpolants.losses import uniform_times
from invdiff.linalg import expand_right

__all__ = ["InterpolantSearch", "SearchRound", "corrected_path", "drift_objective"]


class SearchRound(NamedTuple):
    """What is told after a round: its number, and minus the objective, an energy."""

    round: int
    energy: float


def corrected_path(
    correction: nn.Module, x0: Tensor, x1: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the interpolation between pairs and its time derivative.

    Args:
        correction: ``(x0, t, x1) -> f``, such as ``FieldMLP(dim, condition_dim=dim)``.
        x0: ``(batch, *shape)``.
        x1: The same shape.
        t: ``(batch,)``, in the dtype of x0.
    """

    def at(time: Tensor) -> Tensor:
        f: Tensor = correction(x0, time, x1)
        s = expand_right(time, x0.ndim - 1)
        return (1 - s) * x0 + s * x1 + s * (1 - s) * f

    # twice backwards: torch's forward mode warns that a compiler it needs is deprecated
    path, speed = torch.autograd.functional.jvp(  # type: ignore[no-untyped-call]
        at, t, torch.ones_like(t), create_graph=torch.is_grad_enabled()
    )
    return path, speed


def drift_objective(
    drift: nn.Module, correction: nn.Module, variance: float, draw: Draw, t: Tensor, z: Tensor
) -> Tensor:
    """Return the objective of each pair, ``(batch,)``, summed over the entries of x.

    Args:
        drift: ``(x, t) -> u``.
        correction: See ``corrected_path``.
        variance: sigma^2 of the Brownian motion over [0, 1].
        draw: The pairs.
        t: ``(batch,)``, below 1.
        z: Standard normals; both signs are used, without which the variance is large near t = 1.

    Raises:
        ValueError: The pairs have no x0.
    """
    if draw.x0 is None:
        raise ValueError("drift_objective: expected pairs with x0")
    time = t.to(draw.x1)
    path, speed = corrected_path(correction, draw.x0, draw.x1, time)
    s = expand_right(time, z.ndim - 1)
    scatter = (variance * s * (1 - s)).sqrt() * z
    push = -(variance * s / (1 - s)).sqrt() * z
    total = torch.zeros_like(time)
    for sign in (1, -1):
        u = drift(path + sign * scatter, time)
        total = total + (u**2 / 2 - (speed + sign * push) * u).flatten(1).sum(1)
    return total / 2


@dataclass(frozen=True)
class InterpolantSearch:
    """Steps of the drift down and steps of the path up, in turns.

    Args:
        variance: sigma^2 > 0 of the Brownian motion that the bridge is close to.
        num_rounds: One step of the path each.
        num_drift_steps: Steps of the drift in each round: it has to follow the path.
        num_warmup: Rounds before the path moves.
        batch_size: Pairs of each step.
        drift_rate: Learning rate of the drift; half a cosine leads to zero.
        path_rate: Learning rate of the correction, likewise.
        margin: Times are kept so far from both ends.

    Raises:
        ValueError: A number out of its range.
    """

    variance: float
    num_rounds: int = 1000
    num_drift_steps: int = 4
    num_warmup: int = 100
    batch_size: int = 512
    drift_rate: float = 2e-3
    path_rate: float = 1e-3
    margin: float = 1e-3

    def __post_init__(self) -> None:
        counts = (self.num_rounds, self.num_drift_steps, self.batch_size)
        if min(counts) < 1 or self.num_warmup < 0:
            raise ValueError(f"InterpolantSearch: expected counts of at least 1, got {counts}")
        sizes = (self.variance, self.drift_rate, self.path_rate)
        if not all(0 < size < math.inf for size in sizes) or not 0 < self.margin < 0.5:
            raise ValueError(
                f"InterpolantSearch: expected a variance and rates > 0 and 0 < margin < 0.5, got "
                f"{sizes} and {self.margin}"
            )

    def run(
        self,
        correction: nn.Module,
        drift: nn.Module,
        coupling: Coupling,
        *,
        generator: torch.Generator,
        callback: Callable[[SearchRound], None] | None = None,
    ) -> None:
        """Train both networks in place; the SDE with ``drift`` is the bridge.

        Args:
            correction: f, see ``corrected_path``.
            drift: ``(x, t) -> u``.
            coupling: Draws both ends, in any coupling.
            generator: On the device of the networks.
            callback: Called after each round.
        """
        down = torch.optim.Adam(drift.parameters(), self.drift_rate)
        up = torch.optim.Adam(correction.parameters(), self.path_rate)
        for number in range(self.num_rounds):
            self._slow(down, self.drift_rate, number)
            self._slow(up, self.path_rate, number)
            for _ in range(self.num_drift_steps):
                value = self.objective(correction, drift, coupling, generator=generator)
                _step(down, value)
            if number >= self.num_warmup:
                _step(up, -self.objective(correction, drift, coupling, generator=generator))
            if callback is not None:
                callback(SearchRound(number, -float(value.detach())))

    def objective(
        self,
        correction: nn.Module,
        drift: nn.Module,
        coupling: Coupling,
        *,
        generator: torch.Generator,
    ) -> Tensor:
        """Return the mean objective of a batch; minus it bounds the energy of the path below."""
        draw = coupling.draw(self.batch_size, generator)
        t = uniform_times(self.batch_size, generator, self.margin)
        x1 = draw.x1
        z = torch.randn(x1.shape, generator=generator, device=x1.device, dtype=x1.dtype)
        return drift_objective(drift, correction, self.variance, draw, t, z).mean()

    def _slow(self, optimizer: torch.optim.Optimizer, rate: float, number: int) -> None:
        """Set the learning rate of a round."""
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 + math.cos(math.pi * number / self.num_rounds)) / 2


def _step(optimizer: torch.optim.Optimizer, value: Tensor) -> None:
    optimizer.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
