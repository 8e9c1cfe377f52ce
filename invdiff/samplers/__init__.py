"""Posterior samplers: a likelihood and a denoiser in, samples out."""

from invdiff.samplers.base import Callback, Progress, Sampler, Samples, karras_sigmas
from invdiff.samplers.daps import DAPS
from invdiff.samplers.ddnm import DDNM
from invdiff.samplers.ddrm import DDRM
from invdiff.samplers.dps import DPS
from invdiff.samplers.ensemble import Ensemble
from invdiff.samplers.fps import FPS
from invdiff.samplers.guided import problem_scale
from invdiff.samplers.heun import HeunSampler, heun_step
from invdiff.samplers.mcg_diff import MCGDiff
from invdiff.samplers.moment_matching import MomentMatching
from invdiff.samplers.particle_system import ParticleSystem
from invdiff.samplers.pigdm import PiGDM
from invdiff.samplers.projected_descent import ProjectedDescent
from invdiff.samplers.proximal_diffusion import DDS, DiffPIR
from invdiff.samplers.red_diff import RedDiff, snr_weight
from invdiff.samplers.tds import TDS
from invdiff.samplers.twisted import Twisted
from invdiff.samplers.vp_grid import linear_beta_sigmas

__all__ = [
    "DAPS",
    "DDNM",
    "DDRM",
    "DDS",
    "DPS",
    "FPS",
    "TDS",
    "Callback",
    "DiffPIR",
    "Ensemble",
    "HeunSampler",
    "MCGDiff",
    "MomentMatching",
    "ParticleSystem",
    "PiGDM",
    "Progress",
    "ProjectedDescent",
    "RedDiff",
    "Sampler",
    "Samples",
    "Twisted",
    "heun_step",
    "karras_sigmas",
    "linear_beta_sigmas",
    "problem_scale",
    "snr_weight",
]
