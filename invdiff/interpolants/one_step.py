r"""One call from noise to data: a generator distilled from the pairs and the velocity of a flow.

The second part of SlimFlow :cite:p:`zhu2024slimflow`. The student :math:`u_S(x_0, 0)` is the whole
way from x0 to x1. It learns from pairs, and from the teacher's velocity on its own lines, which
costs no integration of the ODE.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invdiff.interpolants.couplings import Coupling, Draw
from invdiff.interpolants.fit import train_on_pairs
from invdiff.interpolants.interpolant import beside
from invdiff.interpolants.losses import uniform_times
from invdiff.interpolants.networks import told
from invdiff.interpolants.process import Field
from invdiff.training import Training, TrainingCheckpoint, TrainingStep

__all__ = ["OneStepLoss", "OneStepPrior", "distil_one_step"]


@dataclass(frozen=True)
class OneStepLoss:
    r"""What a one-step student minimises.

    With :math:`u = u_S(x_0, 0)`, :math:`x_t = x_0 + t u`, the teacher's velocity v and
    :math:`\operatorname{sg}` for a constant in the derivatives,

    .. math:: L = a\, \rho(x_0 + u - x_1)
        + b\, \rho(x_0 + u - \operatorname{sg}[x_t + (1 - t) v(x_t, t)])

    where :math:`\rho(d) = |d|^2`, or the pseudo-Huber distance
    :math:`2 c (\sqrt{|d|^2 + c^2} - c)`, which is the same for small d and linear for large ones.

    Args:
        distillation: a, of the pairs.
        guidance: b, of the teacher's velocity; it has no use for x1.
        huber: c, in units of x and for the norm over all entries; None for squares.
        times: Lowest and highest t, drawn uniformly.

    Raises:
        ValueError: A negative weight, none that is positive, a c that is not positive, or times
            outside of [0, 1].
    """

    distillation: float = 1.0
    guidance: float = 1.0
    huber: float | None = None
    times: tuple[float, float] = (0.2, 0.8)

    def __post_init__(self) -> None:
        weights = (self.distillation, self.guidance)
        if not (min(weights) >= 0 and 0 < max(weights) < math.inf):
            raise ValueError(
                f"OneStepLoss: expected finite weights >= 0 with one above 0, got {weights}"
            )
        if self.huber is not None and not 0 < self.huber < math.inf:
            raise ValueError(f"OneStepLoss: expected huber > 0, got {self.huber}")
        if not 0 <= self.times[0] <= self.times[1] <= 1:
            raise ValueError(f"OneStepLoss: expected times low <= high in [0, 1], got {self.times}")

    def __call__(self, student: Field, teacher: Field, draw: Draw, t: Tensor) -> Tensor:
        """Return the loss of each pair, ``(batch,)``, summed over the entries of x.

        Args:
            student: u_S, called at t = 0 only.
            teacher: v, not called without guidance.
            draw: Pairs ``(batch, *shape)`` with x0.
            t: ``(batch,)``.

        Raises:
            ValueError: A draw without x0, or a student of another shape.
        """
        if draw.x0 is None:
            raise ValueError("OneStepLoss: expected pairs with x0, got none")
        u = student(draw.x0, torch.zeros_like(t).to(draw.x0))
        if u.shape != draw.x0.shape:
            raise ValueError(
                f"OneStepLoss: expected u of shape {tuple(draw.x0.shape)}, got {tuple(u.shape)}"
            )
        loss = self.distillation * self._distance(draw.x0 + u - draw.x1)
        if self.guidance > 0:
            off = draw.x0 + u - _extrapolated(teacher, draw.x0, u, t)
            loss = loss + self.guidance * self._distance(off)
        return loss

    def draw_times(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw stratified times between the lowest and the highest, ``(count,)``, float64."""
        low, high = self.times
        return low + (high - low) * uniform_times(count, generator, margin=0.0)

    def _distance(self, d: Tensor) -> Tensor:
        square = d.square().flatten(1).sum(1)
        if self.huber is None:
            return square
        return 2 * self.huber * ((square + self.huber**2).sqrt() - self.huber)


def _extrapolated(teacher: Field, x0: Tensor, u: Tensor, t: Tensor) -> Tensor:
    """Return where the teacher's slope at x_t leads at time 1."""
    with torch.no_grad():
        share = beside(t, x0)
        x = x0 + share * u
        return x + (1 - share) * teacher(x, t.to(x))


def distil_one_step(
    network: nn.Module,
    teacher: Field,
    pairs: Coupling,
    training: Training,
    *,
    loss: OneStepLoss,
    batch_size: int,
    generator: torch.Generator,
    checkpoint: TrainingCheckpoint | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place to go from x0 to x1 at one call; return its averaged weights.

    Args:
        network: ``(x, t, condition) -> (batch, *shape)``; the straightened flow is a good start.
        teacher: Velocity of the flow that the pairs are of, or of a better one.
        pairs: x0 and x1, see ``reflow_pairs``.
        training: The optimisation.
        loss: What is minimised.
        batch_size: Pairs of each step.
        generator: On the device of the network; the only source of randomness.
        checkpoint: Keeps the state, see ``train``.
        callback: Called after each step.

    Raises:
        ValueError: A batch below 1, pairs without x0, or a loss that diverged.
    """

    def of_pairs(current: nn.Module, draw: Draw, t: Tensor, z: Tensor) -> Tensor:
        return loss(told(current, draw.condition), teacher, draw, t) / draw.x1[0].numel()

    return train_on_pairs(
        network, of_pairs, pairs, training, batch_size=batch_size, generator=generator,
        times=loss.draw_times, checkpoint=checkpoint, callback=callback,
    )  # fmt: skip


@dataclass(frozen=True)
class OneStepPrior:
    r"""A prior that is known by its samples alone: :math:`G(z) = z + u(z, 0)` of white noise z.

    It has no density and is no denoiser; ``LatentMap`` reconstructs with it.

    Args:
        velocity: u, such as a distilled network, or a flow for one Euler step.
        shape: Of a sample.
    """

    velocity: Field
    shape: tuple[int, ...]

    def __call__(self, z: Tensor) -> Tensor:
        """Return G(z) for z ``(*batch, *shape)``, differentiable in z as far as u is.

        Raises:
            ValueError: Latents of another shape.
        """
        if z.shape[z.ndim - len(self.shape) :] != self.shape:
            raise ValueError(
                f"OneStepPrior: expected latents of {self.shape}, got {tuple(z.shape)}"
            )
        return z + self.velocity(z, torch.zeros((), dtype=z.dtype, device=z.device))

    def sample(
        self, count: int, generator: torch.Generator, *, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Draw ``(count, *shape)`` on the device of the generator, without gradients."""
        size = (count, *self.shape)
        z = torch.randn(size, generator=generator, device=generator.device, dtype=dtype)
        with torch.no_grad():
            return self(z)
