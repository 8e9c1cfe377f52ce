"""Posterior samplers: a likelihood and a denoiser in, samples out."""

from invdiff.samplers.base import Callback, Progress, Sampler, Samples, karras_sigmas
from invdiff.samplers.daps import DAPS
from invdiff.samplers.ddnm import DDNM
from invdiff.samplers.ddrm import DDRM
from invdiff.samplers.heun import HeunSampler, heun_step
from invdiff.samplers.proximal_diffusion import DDS, DiffPIR
from invdiff.samplers.red_diff import RedDiff, snr_weight

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "DDS",
    "Callback",
    "DiffPIR",
    "HeunSampler",
    "Progress",
    "RedDiff",
    "Sampler",
    "Samples",
    "heun_step",
    "karras_sigmas",
    "snr_weight",
]
