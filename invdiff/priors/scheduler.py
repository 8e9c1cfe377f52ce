"""What a network's output means, as diffusers writes it down: the settings of a scheduler."""

from __future__ import annotations

import math
from typing import Any, cast

import torch

from invdiff.priors.noise_schedule import discrete_sigmas
from invdiff.priors.preconditioning import (
    EDM,
    FlowMatching,
    Preconditioning,
    Prediction,
    VariancePreserving,
)

__all__ = ["COSINE_BETAS", "LINEAR_BETAS", "preconditioning_of", "scheduler_of"]

LINEAR_BETAS = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
COSINE_BETAS = {"beta_schedule": "squaredcos_cap_v2", "rescale_betas_zero_snr": True}
_OF_DDPM = ("DDPM", "DDIM", "PNDM", "DPMSolver", "Euler", "Heun", "UniPC", "LMS")


def preconditioning_of(scheduler: dict[str, Any]) -> EDM | FlowMatching | VariancePreserving:
    """Read the parameterisation from the configuration of a diffusers scheduler.

    Args:
        scheduler: The content of ``scheduler_config.json``.

    Raises:
        ValueError: A scheduler, betas or a prediction that isn't known here.
    """
    name = str(scheduler.get("_class_name"))
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction", "sample"):
        raise ValueError(
            f"scheduler: expected prediction_type epsilon, v_prediction or sample, "
            f"got {prediction!r}"
        )
    if name.startswith("EDM"):
        return _edm(scheduler, prediction)
    if name.startswith("FlowMatch"):
        steps = scheduler.get("num_train_timesteps", 1000)
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"scheduler: expected num_train_timesteps >= 1, got {steps!r}")
        return FlowMatching(float(steps))
    if not name.startswith(_OF_DDPM) or name.startswith("DDPMWuerstchen"):
        raise ValueError(f"scheduler: {name!r} is none of EDM*, FlowMatch*, DDPM* and its samplers")
    # the same names also sample networks of other times
    if scheduler.get("timestep_type") == "continuous" or scheduler.get("use_flow_sigmas"):
        raise ValueError(f"scheduler: {name} of continuous times or flow sigmas isn't known")
    return VariancePreserving(discrete_sigmas(scheduler), cast("Prediction", prediction))


def scheduler_of(preconditioning: Preconditioning) -> dict[str, Any]:
    r"""Return the configuration of a diffusers scheduler that says what an output means.

    ``preconditioning_of`` reads the same preconditioning back. A table of training times that is
    no well-known one is written as its steps

    .. math:: \beta_t = 1 - \bar\alpha_t / \bar\alpha_{t-1},
        \qquad \bar\alpha_t = 1 / (1 + \sigma_t^2), \quad \bar\alpha_{-1} = 1

    Args:
        preconditioning: ``EDM``, ``VariancePreserving`` or ``FlowMatching``.

    Raises:
        ValueError: One that no scheduler of diffusers describes.
    """
    match preconditioning:
        case EDM(sigma_data, "epsilon" | "v_prediction" as prediction):
            return {"_class_name": "EDMEulerScheduler", "sigma_data": sigma_data,
                    "prediction_type": prediction}  # fmt: skip
        case FlowMatching(steps) if steps >= 1 and steps == int(steps):
            return {"_class_name": "FlowMatchEulerDiscreteScheduler",
                    "num_train_timesteps": int(steps)}  # fmt: skip
        case VariancePreserving(sigmas, prediction):
            return {"_class_name": "DDPMScheduler", "clip_sample": False,
                    "prediction_type": prediction, **_beta_settings(sigmas)}  # fmt: skip
    raise ValueError(f"scheduler: none of diffusers describes {preconditioning}")


def _edm(scheduler: dict[str, Any], prediction: Prediction) -> EDM:
    if prediction == "sample":
        raise ValueError("scheduler: an EDM network predicts epsilon or v_prediction")
    try:
        sigma_data = float(scheduler.get("sigma_data", 0.5))
    except (TypeError, ValueError):
        sigma_data = math.nan
    if not 0 < sigma_data < math.inf:
        raise ValueError(f"scheduler: expected sigma_data > 0, got {scheduler['sigma_data']!r}")
    return EDM(sigma_data, prediction)


def _beta_settings(sigmas: tuple[float, ...]) -> dict[str, Any]:
    # zero terminal SNR has one time more, which the table leaves out
    for known, left_out in ((LINEAR_BETAS, 0), (COSINE_BETAS, 1)):
        settings = {"num_train_timesteps": len(sigmas) + left_out, **known}
        if discrete_sigmas(settings) == sigmas:
            return settings
    variance = torch.tensor(sigmas, dtype=torch.float64) ** 2
    before = torch.cat([variance.new_zeros(1), variance[:-1]])
    # 1 - (1 + before) / (1 + variance), without the cancellation of small ones
    betas = (variance - before) / (1 + variance)
    if not ((betas > 0) & (betas < 1)).all():
        raise ValueError("scheduler: expected noise levels that are finite and increase")
    return {"num_train_timesteps": len(sigmas), "trained_betas": betas.tolist()}
