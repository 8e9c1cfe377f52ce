"""What the network of a prior learns to say, as values of a configuration."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from invdiff.study.base import Config
from invdiff.training.named_objectives import objective_named
from invdiff.training.objective import NoiseLevels, Objective

__all__ = ["ObjectiveConfig"]


class ObjectiveConfig(Config):
    """One of the objectives of the literature, see ``objective_named``.

    Args:
        kind: That of EDM, PFGM++, DDPM (the noise), v-prediction, x0, or flow matching.
        sigma_data: Standard deviation of the images, for EDM and PFGM++.
        log_mean: Mean of ln sigma, in place of the published one; for EDM and PFGM++.
        log_std: Its standard deviation.
        dof: D of PFGM++.
        num_timesteps: Training times of DDPM, v and x0.
    """

    kind: Literal["edm", "pfgm", "ddpm", "v", "sample", "flow"] = "edm"
    sigma_data: PositiveFloat = 0.5
    log_mean: float | None = None
    log_std: PositiveFloat | None = None
    dof: PositiveFloat = 128.0
    num_timesteps: Annotated[int, Field(ge=2)] = 1000

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        changed = self.log_mean is not None or self.log_std is not None
        if changed and self.kind not in ("edm", "pfgm"):
            raise ValueError(f"log_mean and log_std are of edm and pfgm, the kind is {self.kind}")
        self.build()
        return self

    @property
    def noise_dof(self) -> float:
        """Return the degrees of freedom of the noise; infinite where it is Gaussian."""
        return self.dof if self.kind == "pfgm" else math.inf

    def build(self) -> Objective:
        """Return the loss."""
        objective = objective_named(
            self.kind, sigma_data=self.sigma_data, dof=self.dof, num_timesteps=self.num_timesteps
        )
        if isinstance(objective.levels, NoiseLevels) and self.kind in ("edm", "pfgm"):
            given = {"log_mean": self.log_mean, "log_std": self.log_std}
            changed = {name: value for name, value in given.items() if value is not None}
            levels = dataclasses.replace(objective.levels, **changed)
            return dataclasses.replace(objective, levels=levels)
        return objective
