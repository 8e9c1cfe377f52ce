"""One list of posterior samplers; every law runs on each of them."""

from __future__ import annotations

from functools import partial

import torch

from invdiff.samplers import (
    DAPS,
    DDNM,
    DDRM,
    DDS,
    DPS,
    FPS,
    TDS,
    DiffPIR,
    Ensemble,
    MCGDiff,
    MomentMatching,
    ParticleSystem,
    PiGDM,
    ProjectedDescent,
    RedDiff,
    Sampler,
)

adam = partial(torch.optim.Adam, lr=0.05, betas=(0.9, 0.99))

SAMPLERS: dict[str, Sampler] = {
    "red-diff": RedDiff(num_steps=12),
    "red-diff-random": RedDiff(num_steps=12, order="random"),
    "red-diff-ascending": RedDiff(num_steps=12, order="ascending", dispersion=0.02),
    "red-diff-adam": RedDiff(num_steps=12, optimizer=adam, weighting="linear", regularization=0.25),
    "diffpir": DiffPIR(num_steps=12),
    "projected-descent": ProjectedDescent(num_steps=12),
    "dds": DDS(num_steps=12),
    "afdps": Ensemble(num_steps=12, tempering="weights"),
    "afdps-published": ParticleSystem(num_steps=12),
    "afdps-langevin": ParticleSystem(num_steps=12, likelihood_weight="constant", kappa=0.5),
    "afdps-corrector": ParticleSystem(num_steps=12, variant="ode+corrector", chunk_size=1),
    "dps": DPS(num_steps=12),
    "dps-annealed": DPS(num_steps=12, guidance_kind="annealed", order=2, chunk_size=1),
    "pigdm": PiGDM(num_steps=12),
    "moment-matching": MomentMatching(num_steps=12, eta=0.0),
    "moment-matching-row-sum": MomentMatching(num_steps=12, covariance="row-sum"),
    "tds": TDS(num_steps=12),
    "tds-pigdm": TDS(num_steps=12, twist="pigdm", ess_threshold=None),
    "tds-dps": TDS(num_steps=12, twist="dps", clip=True, chunk_size=1),
    "ddrm": DDRM(num_steps=12),
    "ddnm": DDNM(num_steps=12),
    "ddnm-travel": DDNM(num_steps=12, noise_free=True, travel_length=5, travel_repeats=2),
    "daps": DAPS(num_steps=12, num_langevin=20),
    "daps-exact": DAPS(num_steps=12, inner="exact"),
    "mcg-diff": MCGDiff(num_steps=12, num_particles=4),
    "mcg-diff-single": MCGDiff(num_steps=12, single_run=True),
    "fps": FPS(num_steps=12, num_particles=4),
}

# methods whose particles act on each other: a sample depends on how many there are
INTERACTING: set[str] = {
    "afdps",
    "afdps-published",
    "afdps-langevin",
    "afdps-corrector",
    "tds",
    "tds-pigdm",
    "tds-dps",
    "mcg-diff-single",
}

# these work in the basis of the SVD, with noise of one level, and refuse what has neither
NEEDS_SVD = (DDRM, DDNM, MCGDiff, FPS)
