"""The network of the study of restoration by a bridge, and its training."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from invdiff.interpolants.gammas import BrownianGamma
from invdiff.interpolants.interpolant import TwoSided
from invdiff.interpolants.networks import FieldUNet
from invdiff.interpolants.residual_predictor import ResidualPredictor
from invdiff.study.laboratory.unet_training import UNetTraining
from invdiff.training import seeded_weights

__all__ = ["BridgeConfig"]

# what x0 looks like to the network: CT over 2.5 times water, most of it air
_CENTER, _SCALE = 0.25, 0.25


class BridgeConfig(UNetTraining):
    """The bridge, its network and the optimisation, see ``FieldUNet``.

    Args:
        gamma: Standard deviation of the Brownian motion that the bridge is made of, in units of
            the image; its noise is half of that in the middle.
        start_share: Share of the pairs at t = 0, where each sample begins.
    """

    gamma: PositiveFloat = 0.1
    start_share: float = Field(default=0.2, ge=0, le=1)
    channels: tuple[PositiveInt, ...] = Field(default=(64, 96, 128), min_length=1)
    batch_size: PositiveInt = 8
    learning_rate: PositiveFloat = 1e-3
    dtype: Literal["float32", "bfloat16"] = "bfloat16"

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
        with seeded_weights(generator.initial_seed()):
            network = FieldUNet(
                1, 1, patch=self.patch, widths=self.channels, layers=self.layers
            ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        predictor = ResidualPredictor(network, self.interpolant, spread, _CENTER, _SCALE)
        return predictor.to(generator.device)
