"""DDS of volumes, with coupled slices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import operator_norm
from invdiff.rng import derive_generator
from invdiff.samplers.proximal_diffusion import ddim_noise
from invdiff.volumes.proximal_diffusion import ProximalDiffusion3D, StepImages
from invdiff.volumes.sampler import Problem3D
from operators import LinearOperator, SliceStack

__all__ = ["DDS3D"]


@dataclass(frozen=True)
class DDS3D(ProximalDiffusion3D):
    r"""Decomposed diffusion sampling :cite:p:`chung2024` of a whole volume.

    .. math:: \hat x_0 = \arg\min_z \tfrac12 \|t - A z\|_W^2 + \frac{L}{2 \gamma}
        \|z - D(x_i, \sigma_i)\|^2 + R(z), \qquad x_{i+1} = \hat x_0 +
        \sqrt{\sigma_{i+1}^2 - c^2}\, \frac{x_i - D}{\sigma_i} + c\, n, \qquad
        c^2 = \eta^2 \sigma_{i+1}^2 \Bigl(1 - \frac{\sigma_{i+1}^2}{\sigma_i^2}\Bigr)

    R is the coupling, and L the squared norm of :math:`W^{1/2} A`, the largest over all slices.
    Without R this is ``DDS`` on every slice, up to step sizes of conjugate gradients that all
    slices share. Targets a restoration, not the posterior.

    w is the same at all levels, and so should be what counts as noise between slices: of the
    couplings, ``TotalVariationZ(0.003, scaling="absolute")`` leaves a sparse-view CT volume as
    rough along z as it is, where the default flattens it.

    The published configuration for CT of 8 views is total variation along z with
    :math:`\lambda = 0.04` and the penalty 10 of one ADMM iteration a step, its 5 conjugate
    gradient steps from D without the term that pulls to D. Differences shrink by
    0.04 / 10 = 0.004 data ranges, and the penalty is 0.026 L where its projector sums 256 pixels,
    with :math:`\pi / 16` for the back-projection: ``TotalVariationZ(2.1e-4, 0.026, "absolute")``.

    Args:
        num_steps: Noise levels, one network call for each slice and level.
        sigma_max: Highest noise level, in half data ranges.
        sigma_min: Lowest noise level, in half data ranges.
        rho: Exponent of the grid of noise levels.
        num_cg: Conjugate gradient steps of each data step; few of them are part of the method.
        clip: Whether D is clamped to the data range.
        coupling: R.
        data_weight: gamma.
        eta: Share of fresh noise, from 0 (deterministic) to 1.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 50
    num_cg: int = 5
    data_weight: float = 1.0
    eta: float = 0.85

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.data_weight > 0 and 0 <= self.eta <= 1):
            raise ValueError(
                f"DDS3D: expected data_weight > 0 and 0 <= eta <= 1, got {self.data_weight} and "
                f"{self.eta}"
            )

    def prepared(self, problem: Problem3D) -> Problem3D:
        """Return the problem with L."""
        return problem._replace(constants=_squared_norm(problem))

    def _weight(self, sigma: Tensor, problem: Problem3D) -> Tensor:
        weight: Tensor = problem.constants / self.data_weight
        return weight

    def _noise(self, images: StepImages, sigma: Tensor, sigma_next: Tensor) -> Tensor:
        removed = images.noisy - images.denoised
        return ddim_noise(removed, images.fresh, sigma, sigma_next, self.eta)


def _squared_norm(problem: Problem3D) -> Tensor:
    """Return the largest squared norm over all parts; with a stack, over all slices."""
    likelihood, split = problem.likelihood, problem.split
    if isinstance(likelihood.operator, SliceStack):
        own = _slice_norms(likelihood, likelihood.operator.operator, problem.memory.device)
    else:
        own = likelihood.norm()
    norms = own.new_zeros(split.total)
    norms[split.first : split.first + split.count] = own
    return split.all_sum(norms).max() ** 2


def _slice_norms(
    likelihood: Likelihood, operator: LinearOperator, device: torch.device | None
) -> Tensor:
    """Return the norm of each slice, or one if all have the same precision.

    Every slice starts alike, so that the result doesn't depend on the split.
    """
    like, precision = likelihood.weighted_adjoint, likelihood.precision
    device = like.device if device is None else device
    draws = torch.randn(
        operator.in_shape, generator=derive_generator(0, "norm"), dtype=torch.float64
    ).to(device, like.dtype)
    each = precision[None] if precision.ndim == 0 else precision.expand(likelihood.y.shape)
    norms = [_norm(operator, w.to(device), draws) for w in each]
    return torch.cat(norms).to(like.device)


def _norm(operator: LinearOperator, precision: Tensor, start: Tensor) -> Tensor:
    def normal(x: Tensor) -> Tensor:
        return operator.adjoint(precision * operator(x))

    return operator_norm(normal, start, num_dims=start.ndim).flatten()
