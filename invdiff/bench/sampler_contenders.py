"""Samplers of this and of another package, ready to be timed on one problem and denoiser."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from invdiff.bench.contender import Unavailable
from invdiff.bench.peers import imported
from invdiff.bench.sampler_cases import SamplerCase
from invdiff.priors import Denoiser
from invdiff.rng import derive_generator
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
    RedDiff,
    Sampler,
)
from operators import SVDOperator

__all__ = ["CONTENDERS", "Run", "SetUp"]

Run = Callable[[], Any]
_NEED_SVD = (DDRM, DDNM, FPS, MCGDiff)

SetUp = Callable[[SamplerCase, Denoiser, int], Run]


def ours(
    make: Callable[..., Sampler], case: SamplerCase, denoiser: Denoiser, num_steps: int
) -> Run:
    """Return a whole run of one of this project's samplers, one sample a problem.

    Raises:
        Unavailable: It lacks the operator.
    """
    sampler = make(num_steps=num_steps)
    if isinstance(sampler, _NEED_SVD) and not isinstance(case.likelihood.operator, SVDOperator):
        raise Unavailable("needs a singular value decomposition")
    device = case.likelihood.y.device

    def run() -> Tensor:
        generator = derive_generator(0, "bench", device=device)
        return sampler.sample(case.likelihood, denoiser, 1, generator=generator).values

    return run


def deepinv(name: str, case: SamplerCase, denoiser: Denoiser, num_steps: int) -> Run:
    """Return a whole run of one of deepinv's samplers, state in its own precision.

    Raises:
        Unavailable: Not installed, or it lacks the operator.
    """
    package = imported("deepinv")
    model, physics = _deepinv_denoiser(package, denoiser), _deepinv_physics(package, case)
    x = torch.zeros(case.batch, 1, case.size, case.size, device=case.likelihood.y.device)
    y, sampling = physics(x), package.sampling
    if name == "DPS":
        sampler = sampling.DPS(model, num_steps=num_steps, device=x.device, dtype=torch.float32)
        return lambda: sampler(y, physics, x_init=tuple(x.shape), seed=1)
    if name == "DiffPIR":
        fidelity = package.optim.data_fidelity.L2()
        sampler = sampling.DiffPIR(model, fidelity, sigma=0.05, max_iter=num_steps, device=x.device)
        return lambda: sampler(y, physics, seed=1)
    if case.mask is None:
        raise Unavailable("needs a singular value decomposition")
    levels = torch.linspace(1, 0, num_steps).numpy()
    return lambda: sampling.DDRM(model, sigmas=levels)(y, physics, seed=1)


def _deepinv_denoiser(package: Any, denoiser: Denoiser) -> Any:
    class Wrapped(package.models.Denoiser):  # type: ignore[misc]
        def forward(self, x: Tensor, sigma: Any, *_: Any, **__: Any) -> Tensor:
            level = torch.as_tensor(sigma, dtype=torch.float32, device=x.device).flatten()
            level = level.expand(x.shape[0]) if level.numel() == 1 else level
            return denoiser(x[:, 0].float(), level).unsqueeze(1).to(x.dtype)

    return Wrapped()


def _deepinv_physics(package: Any, case: SamplerCase) -> Any:
    noise = package.physics.GaussianNoise(0.05)
    shape, device = (1, case.size, case.size), case.likelihood.y.device
    if case.mask is not None:
        mask = case.mask[None].float()
        return package.physics.Inpainting(
            img_size=shape, mask=mask, noise_model=noise, device=device
        )
    return package.physics.Tomography(
        angles=case.num_views,
        img_width=case.size,
        circle=False,
        normalize=True,
        noise_model=noise,
        device=device,
    )


CONTENDERS: dict[str, SetUp] = {
    "invdiff RED-diff": partial(ours, RedDiff),
    "invdiff DiffPIR": partial(ours, DiffPIR),
    "invdiff DDS": partial(ours, DDS),
    "invdiff DDRM": partial(ours, DDRM),
    "invdiff DDNM": partial(ours, DDNM),
    "invdiff DAPS": partial(ours, partial(DAPS, inner="exact")),
    "invdiff DPS": partial(ours, DPS),
    "invdiff PiGDM": partial(ours, PiGDM),
    "invdiff moment matching": partial(ours, MomentMatching),
    "invdiff TDS": partial(ours, TDS),
    "invdiff AFDPS": partial(ours, partial(Ensemble, tempering="weights")),
    "invdiff AFDPS-published": partial(ours, ParticleSystem),
    "invdiff MCGDiff": partial(ours, partial(MCGDiff, num_particles=2)),
    "invdiff FPS": partial(ours, partial(FPS, num_particles=2)),
    "deepinv DDRM": partial(deepinv, "DDRM"),
    "deepinv DiffPIR": partial(deepinv, "DiffPIR"),
    "deepinv DPS": partial(deepinv, "DPS"),
}
