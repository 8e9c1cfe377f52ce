"""A preconditioning that is written down as a scheduler is read back as itself."""

from __future__ import annotations

import json

import diffusers
import pytest
import torch

from invdiff.priors.preconditioning import EDM, FlowMatching, VariancePreserving
from invdiff.priors.scheduler import (
    COSINE_BETAS,
    LINEAR_BETAS,
    preconditioning_of,
    scheduler_of,
)


def table(betas, prediction="epsilon"):
    settings = {"_class_name": "DDPMScheduler", "num_train_timesteps": 50, **betas}
    return preconditioning_of({**settings, "prediction_type": prediction})


ALL = {
    "edm": EDM(0.3),
    "edm-v": EDM(0.5, "v_prediction"),
    "flow": FlowMatching(1000.0),
    "linear": table(LINEAR_BETAS),
    "cosine": table(COSINE_BETAS, "v_prediction"),
    "scaled": table({"beta_schedule": "scaled_linear"}, "sample"),
    "free": VariancePreserving(tuple(0.01 * 1.4**i for i in range(30)), "v_prediction"),
    "wide": VariancePreserving((1e-4, 1e-3, 2.0, 5e4), "epsilon"),
}


def network(x, time):
    return torch.tanh(x + 0.01 * time.reshape(-1, 1, 1, 1))


@pytest.mark.parametrize("name", ALL)
def test_round_trip(name):
    original = ALL[name]
    read = preconditioning_of(json.loads(json.dumps(scheduler_of(original))))
    assert type(read) is type(original)
    generator = torch.Generator().manual_seed(0)
    sigma = torch.logspace(-4, 4, 33, dtype=torch.float64).reshape(-1, 1, 1, 1)
    noise = torch.randn(33, 1, 4, 4, generator=generator, dtype=torch.float64)
    denoised = [p.denoise(network, sigma * noise, sigma) for p in (original, read)]
    # of the noise, from which large levels take their D by subtraction
    torch.testing.assert_close(
        denoised[1] / sigma.clamp(min=1), denoised[0] / sigma.clamp(min=1), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("name", ALL)
def test_diffusers_takes_the_settings(name):
    settings = scheduler_of(ALL[name])
    scheduler = getattr(diffusers, settings["_class_name"]).from_config(settings)
    read = preconditioning_of(dict(scheduler.config) | {"_class_name": settings["_class_name"]})
    assert read == preconditioning_of(settings)
    if isinstance(read, VariancePreserving):
        abar = scheduler.alphas_cumprod[: len(read.sigmas)].double()
        sigmas = torch.tensor(read.sigmas, dtype=torch.float64)
        # diffusers keeps 1 - abar to one rounding of float32
        torch.testing.assert_close(abar, 1 / (1 + sigmas**2), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_known_tables_are_written_by_name(name):
    assert "beta_schedule" in scheduler_of(ALL[name])
    assert "trained_betas" in scheduler_of(ALL["scaled"])


@pytest.mark.parametrize("bad", [
    EDM(0.5, "sample"), FlowMatching(0.5), FlowMatching(10.5),
    VariancePreserving((1.0, 1.0), "epsilon"), VariancePreserving((2.0, 1.0), "epsilon"),
])  # fmt: skip
def test_refuses_what_no_scheduler_says(bad):
    with pytest.raises(ValueError, match="scheduler"):
        scheduler_of(bad)


@pytest.mark.parametrize("bad", [
    {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"},
    {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True},
    {"_class_name": "DDPMWuerstchenScheduler"},
    {"_class_name": "CogVideoXDDIMScheduler"},
])  # fmt: skip
def test_refuses_other_times_under_known_names(bad):
    with pytest.raises(ValueError, match=bad["_class_name"]):
        preconditioning_of(bad)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("betas", [LINEAR_BETAS, COSINE_BETAS])
@pytest.mark.parametrize("t", [1, 500, 998])
def test_ddim_step_finds_the_same_image(prediction, betas, t):
    scheduler = diffusers.DDIMScheduler(prediction_type=prediction, clip_sample=False, **betas)
    scheduler.set_timesteps(1000)
    ours = preconditioning_of(dict(scheduler.config) | {"_class_name": "DDIMScheduler"})
    x_t = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(t))
    step = scheduler.step(network(x_t, torch.tensor([float(t)])), t, x_t)
    sigma = torch.tensor(ours.sigmas[t]).reshape(1, 1, 1, 1)
    denoised = ours.denoise(network, x_t * (1 + sigma**2).sqrt(), sigma)
    expected = step.pred_original_sample
    assert (denoised - expected).abs().max() < 1e-4 * expected.abs().max()


def test_flow_step_to_the_end_finds_the_same_image():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(10)
    name = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    ours = preconditioning_of(dict(scheduler.config) | name)
    t, share = scheduler.timesteps[-1], scheduler.sigmas[-2]
    scheduler.set_begin_index(9)
    x_t = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = scheduler.step(network(x_t, t.reshape(1)), t, x_t).prev_sample
    sigma = (share / (1 - share)).reshape(1, 1, 1, 1)
    denoised = ours.denoise(network, x_t / (1 - share), sigma)
    torch.testing.assert_close(denoised, expected, rtol=0, atol=1e-6)
