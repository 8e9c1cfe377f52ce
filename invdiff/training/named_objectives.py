"""The objectives of the literature by their names, with the settings of their papers."""

from __future__ import annotations

import math
from typing import Any

from invdiff.priors.preconditioning import EDM, FlowMatching, VariancePreserving
from invdiff.priors.scheduler import COSINE_BETAS, LINEAR_BETAS, preconditioning_of
from invdiff.training.levels import DiscreteLevels, NoiseLevels
from invdiff.training.objective import Objective
from invdiff.training.perturbation import StudentPerturbation

__all__ = ["OBJECTIVES", "objective_named"]

OBJECTIVES = ("ddpm", "edm", "flow", "pfgm", "sample", "v")


def objective_named(
    name: str, *, sigma_data: float = 0.5, dof: float = 128.0, num_timesteps: int = 1000
) -> Objective:
    r"""Return what a denoiser is trained to minimise, for images in [-1, 1].

    - "edm": :math:`\ln \sigma \sim N(-1.2, 1.2^2)` for a ``sigma_data`` of 0.5, moved along with
      it :cite:p:`karras2022`;
    - "pfgm": the same with the noise of PFGM++ :cite:p:`xu2023`;
    - "ddpm": the noise, linear betas from 1e-4 to 0.02 :cite:p:`ho2020`; "sample": x0 of these;
    - "v": v, at the times of the cosine betas :cite:p:`salimans2022` rescaled to no signal at the
      end :cite:p:`lin2024`, where that last time, of infinite sigma, is left out;
    - "flow": velocities at logit-normal (0, 1) times :cite:p:`esser2024`.

    Args:
        name: One of ``OBJECTIVES``.
        sigma_data: Standard deviation of the images, positive; "edm" and "pfgm".
        dof: D of "pfgm", at least 1.
        num_timesteps: Training times of "ddpm", "sample" and "v", and what "flow" calls time 1.

    Raises:
        ValueError: A name that isn't known, or a number out of its range.
    """
    if not 0 < sigma_data < math.inf or num_timesteps < 2:
        raise ValueError(
            f"objective: expected sigma_data > 0 and num_timesteps >= 2, got {sigma_data} and "
            f"{num_timesteps}"
        )
    match name:
        case "edm" | "pfgm":
            levels = NoiseLevels(-1.2 + math.log(sigma_data / 0.5), 1.2)
            noise = StudentPerturbation(math.inf if name == "edm" else dof)
            return Objective(EDM(sigma_data), levels, noise)
        case "ddpm":
            return _discrete("epsilon", num_timesteps, LINEAR_BETAS)
        case "sample":
            return _discrete("sample", num_timesteps, LINEAR_BETAS)
        case "v":
            return _discrete("v_prediction", num_timesteps, COSINE_BETAS)
        case "flow":
            return Objective(FlowMatching(float(num_timesteps)), NoiseLevels(0.0, 1.0))
    raise ValueError(f"objective: expected one of {', '.join(OBJECTIVES)}, got {name!r}")


def _discrete(prediction: str, num_timesteps: int, betas: dict[str, Any]) -> Objective:
    settings = {"_class_name": "DDPMScheduler", "num_train_timesteps": num_timesteps,
                "prediction_type": prediction, **betas}  # fmt: skip
    preconditioning = preconditioning_of(settings)
    assert isinstance(preconditioning, VariancePreserving)
    return Objective(preconditioning, DiscreteLevels(preconditioning.sigmas))
