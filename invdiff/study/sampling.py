"""Configurations of the samplers; each default is that of the sampler itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.samplers import DDS, DiffPIR, RedDiff, Sampler
from invdiff.samplers.red_diff import Order, Weighting
from invdiff.study.base import Config

__all__ = ["DDSConfig", "DiffPIRConfig", "RedDiffConfig", "SamplerConfig"]


class _SamplerConfig(Config):
    @model_validator(mode="after")
    def _check(self) -> Self:
        self.build()
        return self

    def build(self) -> Sampler:
        """Return the sampler."""
        raise NotImplementedError

    def _numbers(self) -> dict[str, float]:
        return self.model_dump(exclude={"kind", "update", "learning_rate"})


class RedDiffConfig(_SamplerConfig):
    """RED-diff: find the image that data and denoiser agree on, from high noise to low."""

    kind: Literal["red-diff"] = "red-diff"
    num_steps: PositiveInt = RedDiff.num_steps
    sigma_max: PositiveFloat = RedDiff.sigma_max
    sigma_min: PositiveFloat = RedDiff.sigma_min
    rho: PositiveFloat = RedDiff.rho
    regularization: PositiveFloat = RedDiff.regularization
    weighting: Weighting = RedDiff.weighting
    order: Order = RedDiff.order
    update: Literal["proximal", "adam"] = "proximal"
    learning_rate: PositiveFloat = 0.1
    relaxation: PositiveFloat = RedDiff.relaxation
    num_cg: PositiveInt = RedDiff.num_cg
    clip: bool = RedDiff.clip

    def build(self) -> RedDiff:
        """Return the sampler."""
        return RedDiff(**self._numbers(), optimizer=self._optimizer())  # type: ignore[arg-type]

    def _optimizer(self) -> Callable[[list[torch.Tensor]], torch.optim.Optimizer] | None:
        if self.update == "proximal":
            return None
        return partial(torch.optim.Adam, lr=self.learning_rate, betas=(0.9, 0.99))


class DiffPIRConfig(_SamplerConfig):
    """DiffPIR: denoise, take a proximal data step, return to the next noise level."""

    kind: Literal["diffpir"] = "diffpir"
    num_steps: PositiveInt = DiffPIR.num_steps
    sigma_max: PositiveFloat = DiffPIR.sigma_max
    sigma_min: PositiveFloat = DiffPIR.sigma_min
    rho: PositiveFloat = DiffPIR.rho
    regularization: PositiveFloat = DiffPIR.regularization
    noise_fraction: float = DiffPIR.noise_fraction
    num_cg: PositiveInt = DiffPIR.num_cg
    clip: bool = DiffPIR.clip

    def build(self) -> DiffPIR:
        """Return the sampler."""
        return DiffPIR(**self._numbers())  # type: ignore[arg-type]


class DDSConfig(_SamplerConfig):
    """DDS: denoise, take a few conjugate gradient steps on the data, then a DDIM step."""

    kind: Literal["dds"] = "dds"
    num_steps: PositiveInt = DDS.num_steps
    sigma_max: PositiveFloat = DDS.sigma_max
    sigma_min: PositiveFloat = DDS.sigma_min
    rho: PositiveFloat = DDS.rho
    data_weight: PositiveFloat = DDS.data_weight
    eta: float = DDS.eta
    num_cg: PositiveInt = DDS.num_cg
    clip: bool = DDS.clip

    def build(self) -> DDS:
        """Return the sampler."""
        return DDS(**self._numbers())  # type: ignore[arg-type]


SamplerConfig = Annotated[RedDiffConfig | DiffPIRConfig | DDSConfig, Field(discriminator="kind")]
