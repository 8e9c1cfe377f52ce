"""What is trained in a study of a super-resolution prior, and what is said of it."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.study.base import Config
from invdiff.superres.recipe import SuperResolutionRecipe
from invdiff.training import NoiseLevels, Training

__all__ = ["NetworkConfig", "PriorText"]


class NetworkConfig(Config):
    """Network and optimisation, see ``SuperResolutionRecipe`` and ``Training``.

    Args:
        crop: Side of the parts of the slices that are learnt from, judged and drawn.
        factor: Fine pixels to a coarse one, along each axis.
        patch: Side of the blocks that are the channels of the network.
        channels: Multiples of 16, the last of 32.
        layers: Residual blocks at each resolution.
        batch_size: Parts per step.
        num_steps: Steps.
        num_warmup: Steps of the warm-up.
        learning_rate: Its highest value.
        ema_decay: Of the averaged weights.
        sigma_data: Spread of what bicubic enlargement leaves, of images in [-1, 1].
        log_mean: Of the noise levels' normal logarithm.
        log_std: Its standard deviation.
        gamma_spread: Of the random change of contrast.
        dtype: Precision of the arithmetic; bfloat16 for a GPU.
        graph: Launch the network as a CUDA graph, for a GPU.
    """

    crop: PositiveInt = 64
    factor: int = Field(default=4, ge=2)
    patch: PositiveInt = 4
    channels: tuple[PositiveInt, ...] = Field(default=(32, 64, 96), min_length=1)
    layers: PositiveInt = 1
    batch_size: PositiveInt = 16
    num_steps: PositiveInt = 2500
    num_warmup: int = Field(default=100, ge=0)
    learning_rate: PositiveFloat = 8e-4
    ema_decay: float = Field(default=0.995, ge=0, lt=1)
    sigma_data: PositiveFloat = 0.1
    log_mean: float = -2.0
    log_std: PositiveFloat = 1.5
    gamma_spread: float = Field(default=0.15, ge=0)
    dtype: Literal["float32", "bfloat16"] = "float32"
    graph: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        unit = self.patch * 2 ** (len(self.channels) - 1)
        if self.crop % unit or self.crop % self.factor:
            raise ValueError(
                f"crop: expected a multiple of {unit} and of {self.factor}, got {self.crop}"
            )
        if any(n % 16 for n in self.channels) or self.channels[-1] % 32:
            raise ValueError(
                f"channels: expected multiples of 16, the last of 32, got {self.channels}"
            )
        return self

    def build(self) -> SuperResolutionRecipe:
        """Return the recipe."""
        training = Training(
            num_steps=self.num_steps,
            learning_rate=self.learning_rate,
            num_warmup=self.num_warmup,
            ema_decay=self.ema_decay,
            dtype=getattr(torch, self.dtype),
        )
        return SuperResolutionRecipe(
            factor=self.factor,
            patch=self.patch,
            channels=self.channels,
            layers=self.layers,
            batch_size=self.batch_size,
            sigma_data=self.sigma_data,
            gamma_spread=self.gamma_spread,
            crop=self.crop,
            levels=NoiseLevels(self.log_mean, self.log_std),
            training=training,
        )


class PriorText(Config):
    """What the folder of the prior says about it.

    Args:
        title: Of the prior.
        modality: What it was trained on, such as ``MR``.
        value_range: What the lowest and the highest value of an image stand for.
        value_unit: In which unit.
        licence: Of the weights and of what they were trained on.
    """

    title: str
    modality: str
    value_range: tuple[float, float] = (0.0, 1.0)
    value_unit: str = "99.7th percentile"
    licence: str
