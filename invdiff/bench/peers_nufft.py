"""Non-uniform Fourier transforms of other packages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from invdiff.bench.contender import Contender, Unavailable
from invdiff.bench.peers import imported

__all__ = ["SpokeSetup", "finufft_mri", "sigpy_nufft_mri", "torchkbnufft_mri"]


@dataclass(frozen=True, eq=False)
class SpokeSetup:
    """Multi-coil samples of one image x (height, width) at points in cycles per pixel."""

    points: Tensor
    maps: Tensor
    x: Tensor
    tolerance: float
    threads: int


def finufft_mri(setup: SpokeSetup) -> Contender:
    """Take finufft's plans, points set beforehand, all coils in one call."""
    if setup.x.device.type != "cpu":
        raise Unavailable("needs cufinufft on a GPU")
    finufft = imported("finufft")
    maps, shape = setup.maps.numpy(), tuple(setup.x.shape)
    points = [np.ascontiguousarray(k) for k in 2 * math.pi * setup.points.float().numpy().T]

    def plan(kind: int, sign: int) -> Any:
        options = {"n_trans": len(maps), "eps": setup.tolerance, "isign": sign}
        made = finufft.Plan(
            kind, shape, dtype="complex64", nthreads=setup.threads, upsampfac=1.25, **options
        )
        made.setpts(*points)
        return made

    forward, adjoint = plan(2, -1), plan(1, 1)
    return Contender.of(
        "finufft",
        lambda x: forward.execute(maps * x),
        lambda y: (maps.conj() * adjoint.execute(y)).sum(0),
        setup.x.numpy(),
    )


def sigpy_nufft_mri(setup: SpokeSetup) -> Contender:
    """Chain sigpy's operators; its accuracy is fixed, about 1e-3."""
    if setup.x.device.type != "cpu":
        raise Unavailable("needs cupy on a GPU")
    linop = imported("sigpy.linop")
    shape = np.asarray(setup.x.shape)
    sense = linop.Multiply(tuple(shape), setup.maps.numpy())
    coordinates = (setup.points.numpy() * shape).astype(np.float32)
    operator = linop.NUFFT(sense.oshape, coordinates) * sense
    return Contender.of("sigpy", operator, operator.H, setup.x.numpy())


def torchkbnufft_mri(setup: SpokeSetup) -> Contender:
    """Use torchkbnufft by table interpolation, its default; about 1e-3 in accuracy."""
    package = imported("torchkbnufft")
    shape, device = tuple(setup.x.shape), setup.x.device
    forward = package.KbNufft(im_size=shape).to(device)
    adjoint = package.KbNufftAdjoint(im_size=shape).to(device)
    omega = (2 * math.pi * setup.points.T).float().to(device)
    maps = setup.maps[None]
    return Contender.of(
        "torchkbnufft",
        lambda x: forward(x, omega, smaps=maps),
        lambda y: adjoint(y, omega, smaps=maps),
        setup.x[None, None],
    )
