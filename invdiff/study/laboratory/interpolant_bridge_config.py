"""The network of the study of restoration by a bridge, and its training."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.interpolants.gammas import BrownianGamma
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.networks import FieldUNet
from invdiff.interpolants.residual_predictor import ResidualPredictor
from invdiff.study.base import Config
from invdiff.training import Training

__all__ = ["BridgeConfig"]

# what x0 looks like to the network: CT over 2.5 times water, most of it air
_CENTER, _SCALE = 0.25, 0.25


class BridgeConfig(Config):
    """The bridge, its network and the optimisation, see ``FieldUNet`` and ``Training``.

    Args:
        gamma: Standard deviation of the Brownian motion that the bridge is made of, in units of
            the image; its noise is half of that in the middle.
        patch: Side of the blocks of pixels that become channels.
        channels: Multiples of 16, the last of 32.
        layers: Residual blocks at each resolution.
        batch_size: Pairs of each step.
        num_steps: Steps.
        num_warmup: Steps of the warm-up.
        learning_rate: Its highest value.
        ema_decay: Of the averaged weights.
        start_share: Share of the pairs at t = 0, where each sample begins.
        dtype: Precision of the network's arithmetic.
    """

    gamma: PositiveFloat = 0.1
    patch: PositiveInt = 4
    channels: tuple[PositiveInt, ...] = Field(default=(64, 96, 128), min_length=1)
    layers: PositiveInt = 1
    batch_size: PositiveInt = 8
    num_steps: PositiveInt = 2500
    num_warmup: int = Field(default=100, ge=0)
    learning_rate: PositiveFloat = 1e-3
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    start_share: float = Field(default=0.2, ge=0, le=1)
    dtype: Literal["float32", "bfloat16"] = "bfloat16"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(n % 16 for n in self.channels) or self.channels[-1] % 32:
            raise ValueError(
                f"channels: expected multiples of 16, the last of 32, got {self.channels}"
            )
        return self

    @property
    def unit(self) -> int:
        """What the side of the images must be a multiple of."""
        return int(self.patch * 2 ** (len(self.channels) - 1))

    @property
    def interpolant(self) -> TwoSided:
        """From the reconstruction to the clean image."""
        return TwoSided(gamma=BrownianGamma(self.gamma**2))

    def predictor(self, spread: float, generator: torch.Generator) -> ResidualPredictor:
        """Return an untrained predictor, on the device of the generator.

        Args:
            spread: Root mean square of what the reconstructions are off by.
            generator: Of the first weights.
        """
        # diffusers draws weights from the global stream
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(generator.initial_seed())
            network = FieldUNet(
                1, 1, patch=self.patch, widths=self.channels, layers=self.layers
            ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        predictor = ResidualPredictor(network, self.interpolant, spread, _CENTER, _SCALE)
        return predictor.to(generator.device)

    def training(self) -> Training:
        """Return the optimisation."""
        return Training(
            num_steps=self.num_steps,
            learning_rate=self.learning_rate,
            num_warmup=self.num_warmup,
            ema_decay=self.ema_decay,
            dtype=getattr(torch, self.dtype),
        )
