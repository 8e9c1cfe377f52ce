"""The posterior samplers of deepinv on an inpainting problem, with its defaults."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from invdiff.bench.contender import Unavailable
from invdiff.bench.peers import imported
from invdiff.priors import Denoiser
from invdiff.study.base import Config

__all__ = ["DeepinvColumn", "Inpainting", "is_installed"]

Method = Literal["ddrm", "diffpir", "dps", "dps-annealed", "pigdm", "moment-matching"]


class DeepinvColumn(Config):
    """A sampler of deepinv.

    Args:
        method: Which one; what is not named here has deepinv's default.
        num_steps: Calls of the denoiser.
    """

    method: Method
    num_steps: int = Field(1000, ge=2)

    def sample(self, problem: Inpainting, num_samples: int, seed: int) -> Tensor:
        """Return samples ``(num_samples, rows, columns)``, double precision.

        Raises:
            Unavailable: deepinv is not installed.
        """
        package = imported("deepinv")
        make = _METHODS[self.method]
        device = problem.mask.device
        forked = [device] if device.type == "cuda" else []
        # deepinv draws from, and seeds, the global stream
        with warnings.catch_warnings(), torch.random.fork_rng(devices=forked):
            warnings.simplefilter("ignore")
            run = make(package, problem.denoiser_of(package), problem, self.num_steps)
            # some of its samplers write into y
            x = run(problem.images(num_samples), problem.physics_of(package), seed)
        return x[:, 0].double()


class Inpainting:
    """The problem in deepinv's layout: y is an image with zeros where nothing was measured.

    Args:
        denoiser: Of images ``(rows, columns)``, in units of about [0, 1].
        mask: Boolean, True where measured.
        y: The measured pixels, in row-major order.
        sigma: Standard deviation of the noise.
    """

    def __init__(self, denoiser: Denoiser, mask: Tensor, y: Tensor, sigma: float) -> None:
        self.denoiser, self.mask, self.sigma = denoiser, mask, sigma
        image = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
        image[mask] = y.float()
        self._image = image

    def images(self, count: int) -> Tensor:
        """Return y for each sample, ``(count, 1, rows, columns)``."""
        return self._image.expand(count, 1, *self.mask.shape).clone()

    def physics_of(self, package: Any) -> Any:
        """Return deepinv's operator with its noise."""
        return package.physics.Inpainting(
            img_size=(1, *self.mask.shape),
            mask=self.mask[None].float(),
            noise_model=package.physics.GaussianNoise(self.sigma),
            device=self.mask.device,
        )

    def denoiser_of(self, package: Any) -> Any:
        """Return the denoiser as one of deepinv's."""
        ours = self.denoiser

        class Wrapped(package.models.Denoiser):  # type: ignore[misc]
            def forward(self, x: Tensor, sigma: Any, *_: Any, **__: Any) -> Tensor:
                level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).flatten()
                return ours(x[:, 0], level.expand(len(x))).unsqueeze(1)

        return Wrapped()


def is_installed() -> bool:
    """Whether deepinv can be imported."""
    try:
        imported("deepinv")
    except Unavailable:
        return False
    return True


_Run = Callable[[Tensor, Any, int], Tensor]


def _ddrm(package: Any, model: Any, problem: Inpainting, steps: int) -> _Run:
    sampler = package.sampling.DDRM(model, sigmas=np.linspace(1, 0, steps))
    return lambda y, physics, seed: sampler(y, physics, seed=seed)


def _diffpir(package: Any, model: Any, problem: Inpainting, steps: int) -> _Run:
    fidelity, device = package.optim.data_fidelity.L2(), problem.mask.device
    sampler = package.sampling.DiffPIR(
        model, fidelity, sigma=problem.sigma, max_iter=steps, device=device
    )
    return lambda y, physics, seed: sampler(y, physics, seed=seed)


def _dps(guidance: str) -> Callable[..., _Run]:
    def make(package: Any, model: Any, problem: Inpainting, steps: int) -> _Run:
        sampler = package.sampling.DPS(
            model, num_steps=steps, guidance=guidance, device=problem.mask.device
        )
        return lambda y, physics, seed: sampler(y, physics, x_init=tuple(y.shape), seed=seed)

    return make


def _guided(fidelity: str) -> Callable[..., _Run]:
    """Diffuse backwards by the variance-preserving equation, with Euler steps."""

    def make(package: Any, model: Any, problem: Inpainting, steps: int) -> _Run:
        sampling, device = package.sampling, problem.mask.device
        times = torch.linspace(1, 0.001, steps, dtype=torch.float64)
        sampler = sampling.PosteriorDiffusion(
            getattr(sampling, fidelity)(),
            model,
            sampling.VariancePreservingDiffusion(device=device),
            sampling.EulerSolver(timesteps=times),
            device=device,
        )
        return lambda y, physics, seed: sampler(y, physics, x_init=tuple(y.shape), seed=seed)

    return make


_METHODS: dict[str, Callable[..., _Run]] = {
    "ddrm": _ddrm,
    "diffpir": _diffpir,
    "dps": _dps("norm"),
    "dps-annealed": _dps("annealed"),
    "pigdm": _guided("PiGDMDataFidelity"),
    "moment-matching": _guided("MomentMatchingDataFidelity"),
}
