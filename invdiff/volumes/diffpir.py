"""DiffPIR of volumes, with coupled slices."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invdiff.samplers.proximal_diffusion import renewed
from invdiff.volumes.proximal_diffusion import ProximalDiffusion3D, StepImages
from invdiff.volumes.sampler import Problem3D

__all__ = ["DiffPIR3D"]


@dataclass(frozen=True)
class DiffPIR3D(ProximalDiffusion3D):
    r"""Plug-and-play restoration along a diffusion :cite:p:`zhu2023`, on a whole volume.

    .. math:: \hat x_0 = \arg\min_z \tfrac12 \|t - A z\|_W^2 + \frac{\lambda}{2 \sigma_i^2}
        \|z - D(x_i, \sigma_i)\|^2 + R(z), \qquad x_{i+1} = \hat x_0 + \sigma_{i+1}
        \Bigl(\sqrt{1 - \zeta}\, \frac{x_i - \hat x_0}{\sigma_i} + \sqrt{\zeta}\, n\Bigr)

    R is the coupling. Without it this is ``DiffPIR`` on every slice, up to step sizes of conjugate
    gradients that all slices share. Targets a restoration, not the posterior. A coupling of
    ``TotalVariationZ(0.05)`` leaves a sparse-view CT volume as rough along z as it is.

    Args:
        num_steps: Noise levels, one network call for each slice and level.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        num_cg: Conjugate gradient steps of each data step, started at D.
        clip: Whether D is clamped to the data range.
        coupling: R.
        regularization: lambda.
        noise_fraction: zeta, the share of fresh noise.

    Raises:
        ValueError: A number out of its range.
    """

    regularization: float = 7.0
    noise_fraction: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.regularization > 0 and 0 <= self.noise_fraction <= 1):
            raise ValueError(
                "DiffPIR3D: expected regularization > 0 and 0 <= noise_fraction <= 1, got "
                f"{self.regularization} and {self.noise_fraction}"
            )

    def _weight(self, sigma: Tensor, problem: Problem3D) -> Tensor:
        return self.regularization / sigma**2

    def _noise(self, images: StepImages, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        kept = (images.noisy - images.corrected) / sigma
        return sigma_next * renewed(kept, images.fresh, self.noise_fraction)
