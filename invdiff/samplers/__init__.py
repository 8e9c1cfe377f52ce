"""Posterior samplers: a likelihood and a denoiser in, samples out."""

from invdiff.samplers.base import Callback, Progress, Sampler, Samples, karras_sigmas
from invdiff.samplers.ensemble import Ensemble
from invdiff.samplers.heun import HeunSampler, heun_step
from invdiff.samplers.proximal_diffusion import DDS, DiffPIR
from invdiff.samplers.red_diff import RedDiff, snr_weight

__all__ = [
    "DDS",
    "Callback",
    "DiffPIR",
    "Ensemble",
    "HeunSampler",
    "Progress",
    "RedDiff",
    "Sampler",
    "Samples",
    "heun_step",
    "karras_sigmas",
    "snr_weight",
]
