r"""Reflow that starts as a plain training, for students smaller than their teacher.

A small network that starts from nothing learns the pairs of a flow badly. SlimFlow
:cite:p:`zhu2024slimflow` begins with pairs of independent ends, which are easy, and goes over to
those of the flow: :math:`x_0' = \sqrt{1 - \beta^2}\, x_0 + \beta n`, with beta from 1 to 0. The
law of the base stays the same, only its ties to the target grow.

A straightened flow draws, but it is no denoiser: :math:`x + (1 - t) b` is the end of the line
through x, not the mean over all x1 that independent noise would allow. ``FlowPrior`` is for flows
of independent ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from invdiff.interpolants.couplings import Draw, PairedCoupling
from invdiff.interpolants.fit import TimeSource, train_field
from invdiff.interpolants.gaussian_coupling import GaussianCoupling
from invdiff.interpolants.losses import uniform_times
from invdiff.interpolants.rectified_flow import rectified
from invdiff.training import Training, TrainingCheckpoint, TrainingStep

__all__ = ["AnnealedPairs", "Annealing", "annealed_gaussian", "annealed_reflow"]

Kind = Literal["linear", "exponential", "cosine"]
# e-foldings of the exponential schedule
_RATE = 5.0


@dataclass(frozen=True)
class Annealing:
    r"""How beta falls from 1 to 0 with the steps of a training.

    With s the step over ``num_steps``, at most 1:

    .. math:: 1 - s, \qquad \frac{e^{-5 s} - e^{-5}}{1 - e^{-5}}, \qquad \cos \tfrac{\pi s}{2}

    Args:
        num_steps: Steps until beta is 0; further ones are reflow. 0: reflow from the start.
        kind: Shape of the fall: linear, exponential (most of it early) or cosine (late).

    Raises:
        ValueError: A negative number of steps, or an unknown kind.
    """

    num_steps: int
    kind: Kind = "linear"

    def __post_init__(self) -> None:
        if self.num_steps < 0 or self.kind not in get_args(Kind):
            raise ValueError(
                f"Annealing: expected num_steps >= 0 and a kind of {get_args(Kind)}, got "
                f"{self.num_steps} and {self.kind!r}"
            )

    def beta(self, step: int) -> float:
        """Return beta at a step, counted from 0.

        Raises:
            ValueError: A negative step.
        """
        if step < 0:
            raise ValueError(f"Annealing: expected step >= 0, got {step}")
        if step >= self.num_steps:
            return 0.0
        share = step / self.num_steps
        if self.kind == "linear":
            return 1 - share
        if self.kind == "exponential":
            return (math.exp(-_RATE * share) - math.exp(-_RATE)) / (1 - math.exp(-_RATE))
        return math.cos(math.pi / 2 * share)


@dataclass(frozen=True, eq=False)
class AnnealedPairs:
    r"""The pairs of a flow with a base that is partly drawn anew, a coupling.

    .. math:: x_0' = \sqrt{1 - \beta^2}\, x_0 + \beta n

    At beta = 1 the ends are independent, at beta = 0 they are the pairs, to the last bit.

    Args:
        pairs: Of a flow from white noise, see ``reflow_pairs``; x0 of another law would not keep
            it.
        beta: In [0, 1].

    Raises:
        ValueError: A beta outside of [0, 1].
    """

    pairs: PairedCoupling
    beta: float

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise ValueError(f"AnnealedPairs: expected beta in [0, 1], got {self.beta}")

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs on the device of the generator."""
        x0, x1, condition = self.pairs.draw(count, generator)
        # a PairedCoupling always has both ends
        assert x0 is not None
        noise = torch.randn(x0.shape, generator=generator, device=x0.device, dtype=x0.dtype)
        return Draw(math.sqrt(1 - self.beta**2) * x0 + self.beta * noise, x1, condition)


def annealed_reflow(
    network: nn.Module,
    pairs: PairedCoupling,
    schedule: Annealing,
    training: Training,
    *,
    batch_size: int,
    generator: torch.Generator,
    times: TimeSource = uniform_times,
    checkpoint: TrainingCheckpoint | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> nn.Module:
    """Train a network in place on annealed pairs and return the average of its weights.

    Args:
        network: ``(x, t, condition) -> (batch, *shape)``, of any size, its weights those of the
            start.
        pairs: Of the teacher.
        schedule: beta of each step; it has to be 0 well before the last.
        training: The optimisation.
        batch_size: Pairs of each step.
        generator: On the device of the network; the only source of randomness.
        times: Draws the time of each pair, within (0, 1).
        checkpoint: Keeps the state, see ``train``; beta follows from the step.
        callback: Called after each step.

    Raises:
        ValueError: A batch below 1, a schedule longer than the training, or a loss that diverged.
    """
    if schedule.num_steps > training.num_steps:
        raise ValueError(
            f"annealed_reflow: expected a schedule within the {training.num_steps} steps, got "
            f"{schedule.num_steps}"
        )

    def coupling(step: int) -> AnnealedPairs:
        return AnnealedPairs(pairs, schedule.beta(step))

    return train_field(
        network, "b", rectified(), coupling, training, batch_size=batch_size, generator=generator,
        antithetic=False, times=times, checkpoint=checkpoint, callback=callback,
    )  # fmt: skip


def annealed_gaussian(mean: Tensor, covariance: Tensor, beta: float) -> GaussianCoupling:
    r"""Return the law of the annealed pairs of white noise and N(m, S), in closed form.

    The flow maps x0 to :math:`m + S^{1/2} x_0`, so that

    .. math:: \operatorname{Cov}(x_0', x_1) = \sqrt{1 - \beta^2}\, S^{1/2}

    ``JointGaussianProcess`` has the velocity that a network learns from it, which at beta = 0 is
    that of ``ReflowedGaussian``.

    Args:
        mean: m, ``(dim,)``.
        covariance: S, ``(dim, dim)``, symmetric and positive semi-definite.
        beta: In [0, 1].

    Raises:
        ValueError: Shapes that don't fit, or a beta outside of [0, 1].
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"annealed_gaussian: expected beta in [0, 1], got {beta}")
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.mT
    cross = math.sqrt(1 - beta**2) * root
    white = torch.eye(len(covariance)).to(covariance)
    return GaussianCoupling(torch.zeros_like(mean), mean, white, covariance, cross)
