"""What a router is made of, and how it is trained."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import PositiveFloat, PositiveInt, model_validator

from invdiff.priors import RouterNetwork, RouterSettings
from invdiff.rng import derive_generator
from invdiff.study.base import Config
from invdiff.training import LogUniformLevels, Training, drawn_network

__all__ = ["RouterOptions"]


class RouterOptions(Config):
    """What a router is made of, and how it is trained.

    Args:
        width: Channels.
        depth: Layers; each halves rows and columns.
        num_steps: Updates.
        batch_size: Images of each.
        learning_rate: Its highest value.
        sigma_min: Lowest noise level that it learns, for images in [-1, 1].
        sigma_max: Highest; beyond them it is a guess.
        checkpoint_every: Steps from one state on the disk to the next.
    """

    width: PositiveInt = 32
    depth: PositiveInt = 5
    num_steps: PositiveInt = 300
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 2e-3
    sigma_min: PositiveFloat = 0.01
    sigma_max: PositiveFloat = 30.0
    checkpoint_every: PositiveInt = 100

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        self.levels()
        return self

    def levels(self) -> LogUniformLevels:
        """Return the noise levels of the training."""
        return LogUniformLevels(self.sigma_min, self.sigma_max)

    def training(self) -> Training:
        """Return the settings of the optimisation."""
        return Training(
            self.num_steps,
            self.learning_rate,
            num_warmup=max(1, self.num_steps // 10),
            ema_decay=0.98,
            dtype=torch.float32,
        )

    def untrained(self, num_experts: int, size: int, seed: int) -> RouterNetwork:
        """Return the network with its first weights, on the CPU.

        Args:
            num_experts: Its outputs.
            size: Rows and columns of the images.
            seed: Of the weights.

        Raises:
            ValueError: Images that are too small for the depth.
        """
        settings = RouterSettings(num_experts, (size, size), width=self.width, depth=self.depth)
        generator = derive_generator(seed, "weights")
        return drawn_network(lambda: RouterNetwork(settings), generator=generator)
