"""The networks of the study of few-step flows, and their trainings."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn

from invdiff.interpolants.annealed_reflow import Annealing
from invdiff.interpolants.fit import TimeSource
from invdiff.interpolants.losses import uniform_times
from invdiff.interpolants.networks import FieldUNet
from invdiff.interpolants.one_step import OneStepLoss
from invdiff.interpolants.rectified_flow import rectified
from invdiff.interpolants.skip import GaussianSkip
from invdiff.study.base import Config
from invdiff.study.laboratory.unet_training import UNetTraining
from invdiff.training import drawn_network

__all__ = [
    "OneStepConfig",
    "ReconstructionConfig",
    "StudentConfig",
    "TeacherConfig",
    "logit_normal_times",
]


def logit_normal_times(count: int, generator: torch.Generator) -> Tensor:
    r"""Draw times :math:`1 / (1 + e^{-n})` of normal n, ``(count,)``, float64, for straight lines.

    The choice of :cite:t:`esser2024`.
    """
    n = torch.randn(count, generator=generator, device=generator.device, dtype=torch.float64)
    return n.sigmoid()


class TeacherConfig(UNetTraining):
    """A flow of independent ends, see ``FieldUNet`` and ``Training``.

    Args:
        times: How the times of the training are drawn: "uniform", or "logit-normal", of which
            fewer are near an end, where there is little to learn.
    """

    # larger blocks leave noise in what is drawn
    patch: PositiveInt = 2
    learning_rate: PositiveFloat = 1e-3
    times: Literal["uniform", "logit-normal"] = "uniform"

    def build(self, generator: torch.Generator) -> nn.Module:
        """Return an untrained network on the device of the generator, which draws its weights."""

        def build() -> nn.Module:
            unet = FieldUNet(1, patch=self.patch, widths=self.channels, layers=self.layers)
            # the noise of each pixel need not pass through the few channels of a block
            return GaussianSkip(unet, rectified(), "b")

        return drawn_network(build, generator=generator).to(
            memory_format=torch.channels_last  # type: ignore[call-overload]
        )

    @property
    def time_source(self) -> TimeSource:
        """Of the training."""
        return uniform_times if self.times == "uniform" else logit_normal_times


class StudentConfig(TeacherConfig):
    """A straightened flow, as a rule a smaller network.

    Args:
        annealing: How beta falls, see ``Annealing``.
        annealed_share: Of the steps until beta is 0.
    """

    channels: tuple[PositiveInt, ...] = Field(default=(16, 32, 64), min_length=1)
    annealing: Literal["linear", "exponential", "cosine"] = "linear"
    annealed_share: float = Field(default=0.6, ge=0, le=1)

    @property
    def schedule(self) -> Annealing:
        """Of beta."""
        return Annealing(round(self.annealed_share * self.num_steps), self.annealing)


class OneStepConfig(UNetTraining):
    """The distillation of the student; it goes on with the student's network, of its size.

    Args:
        distillation: Weight of the pairs.
        guidance: Weight of the student's velocity.
        huber: Constant of the pseudo-Huber distance over the root of the number of pixels, in
            units of the flow; None for squares.
    """

    learning_rate: PositiveFloat = 5e-4
    distillation: NonNegativeFloat = 1.0
    guidance: NonNegativeFloat = 1.0
    huber: PositiveFloat | None = None

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        self.loss(1)
        return self

    def loss(self, num_pixels: int) -> OneStepLoss:
        """Return the loss for images of so many pixels."""
        huber = None if self.huber is None else self.huber * num_pixels**0.5
        return OneStepLoss(self.distillation, self.guidance, huber)


class ReconstructionConfig(Config):
    """Held-out slices from few views, by the one-step generator and by what it is compared with.

    Args:
        num_slices: Slices.
        views: Directions of parallel beams over half a turn.
        noise: Standard deviation of a line integral, as a share of the largest.
        num_steps: Of the search for a latent, see ``LatentMap``.
        num_restarts: Of the same.
        learning_rate: Of the same.
        red_diff_calls: Calls of the flow as a denoiser.
    """

    num_slices: PositiveInt = 8
    views: PositiveInt = 12
    noise: PositiveFloat = 0.01
    num_steps: PositiveInt = 150
    num_restarts: PositiveInt = 2
    learning_rate: PositiveFloat = 0.1
    red_diff_calls: PositiveInt = 60
