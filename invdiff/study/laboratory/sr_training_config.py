"""What is trained in a study of a super-resolution prior, and what is said of it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.study.laboratory.unet_training import UNetTraining
from invdiff.superres.recipe import SuperResolutionRecipe
from invdiff.training import NoiseLevels

__all__ = ["NetworkConfig"]


class NetworkConfig(UNetTraining):
    """Network and optimisation, see ``SuperResolutionRecipe``.

    Args:
        crop: Side of the parts of the slices that are learnt from, judged and drawn.
        factor: Fine pixels to a coarse one, along each axis.
        sigma_data: Spread of what bicubic enlargement leaves, of images in [-1, 1].
        log_mean: Of the noise levels' normal logarithm.
        log_std: Its standard deviation.
        gamma_spread: Of the random change of contrast.
        graph: Launch the network as a CUDA graph, for a GPU.
    """

    crop: PositiveInt = 64
    factor: int = Field(default=4, ge=2)
    sigma_data: PositiveFloat = 0.1
    log_mean: float = -2.0
    log_std: PositiveFloat = 1.5
    gamma_spread: float = Field(default=0.15, ge=0)
    graph: bool = False

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop % self.unit or self.crop % self.factor:
            raise ValueError(
                f"crop: expected a multiple of {self.unit} and of {self.factor}, got {self.crop}"
            )
        return self

    def build(self) -> SuperResolutionRecipe:
        """Return the recipe."""
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
            training=self.training(),
        )
