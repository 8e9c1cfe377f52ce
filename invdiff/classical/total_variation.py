"""Total variation by Chambolle and Pock, with its weight from the noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import conjugate_gradient, expand_right, inner
from operators import FiniteDifferences

__all__ = ["total_variation"]

# ratio of the primal to the dual step over the image's root mean square: fast on CT, MR and blur
_STEP_RATIO = 0.07
# of each step, below 2 (Condat 2013): as good as so many more iterations
_RELAXATION = 1.9


def total_variation(
    likelihood: Likelihood,
    *,
    low: float | None = None,
    high: float | None = None,
    num_steps: int = 400,
    noise_factor: float = 1.0,
    spacing: Sequence[float] | None = None,
    isotropic: bool = True,
) -> Tensor:
    r"""Return the image of least variation that explains the data up to their noise.

    .. math:: \min_x \sum_i |(\nabla x)_i|_p \quad\text{with}\quad \|t - A x\|_W \le \sqrt{m},
        \quad x_{low} \le x \le x_{high}

    This is the penalised problem :math:`\tfrac12 \|t - A x\|_W^2 + \alpha TV(x)` with alpha
    chosen by the discrepancy principle :cite:p:`morozov1966`, solved by the primal-dual method
    of :cite:t:`chambolle2011`, algorithm 1. m counts real numbers, two for a complex entry. The
    gradient is along all axes of x: a volume is regularised in three dimensions, be it a stack
    of scanned slices or not, and its data are explained as a whole.

    Args:
        likelihood: One problem or a batch; real or complex images.
        low: Known lower bound of x, such as 0 for attenuation; real images only.
        high: Known upper bound.
        num_steps: Iterations.
        noise_factor: The residual over noise that is aimed at; 1 is the discrepancy principle.
        spacing: Voxel size along each axis of x in one unit, such as (dz, dy, dx) in mm: what
            differs from one thick slice to the next counts less than what differs from pixel to
            pixel. Pixels are as far apart along all axes by default.
        isotropic: Whether p is 2, the same for edges of every direction, or 1.

    Returns:
        Images, shape ``(*problems, *image_shape)``.

    Raises:
        ValueError: Bounds on complex images, numbers that are not positive, or a spacing that is
            not one length for each axis.
    """
    if likelihood.operator.in_complex and (low, high) != (None, None):
        raise ValueError("total_variation: complex images have no bounds")
    if num_steps < 1 or not noise_factor > 0:
        raise ValueError(
            f"total_variation: expected num_steps >= 1 and noise_factor > 0, got {num_steps} "
            f"and {noise_factor}"
        )
    operator = likelihood.operator
    gradient = FiniteDifferences(
        operator.in_shape, complex_valued=operator.in_complex, spacing=spacing
    )
    solver = _PrimalDual(likelihood, gradient, isotropic, (low, high), noise_factor)
    state = solver.init()
    for _ in range(num_steps):
        state = solver.step(state)
    return solver.bounded(state.x)


class _State(NamedTuple):
    x: Tensor
    data_dual: Tensor
    gradient_dual: Tensor


class _PrimalDual:
    """Saddle point with K = (W^(1/2) A / its norm, gradient / its norm), so that |K|^2 <= 2."""

    def __init__(
        self,
        likelihood: Likelihood,
        gradient: FiniteDifferences,
        isotropic: bool,
        bounds: tuple[float | None, float | None],
        noise_factor: float,
    ) -> None:
        operator = likelihood.operator
        self.likelihood, self.bounds = likelihood, bounds
        self.gradient, self.isotropic = gradient, isotropic
        self.in_dims, self.out_dims = len(operator.in_shape), len(operator.out_shape)
        norm = expand_right(likelihood.norm(), self.out_dims)
        self.root = likelihood.precision.sqrt() / norm
        numbers = math.prod(operator.out_shape) * (2 if operator.out_complex else 1)
        self.radius = noise_factor * math.sqrt(numbers) / norm
        x = self._coarse_image(likelihood)
        size = (inner(x, x, self.in_dims) / math.prod(operator.in_shape)).sqrt()
        # an image of zeros has no scale, but any step will do for it
        scale = _STEP_RATIO * torch.where(size > 0, size, 1.0)
        self.primal_step, self.dual_step = scale / math.sqrt(2), 1 / (math.sqrt(2) * scale)
        self.first = x

    def init(self) -> _State:
        data = torch.zeros_like(self.likelihood.target)
        return _State(self.first, data, torch.zeros_like(self.gradient(self.first)))

    def step(self, state: _State) -> _State:
        slope = self.likelihood.operator.adjoint(self.root * state.data_dual)
        slope = slope + self.gradient.adjoint(state.gradient_dual) / self.gradient.norm
        x = self.bounded(state.x - self.primal_step * slope)
        ahead = 2 * x - state.x
        reached = (x, self._data_dual(state, ahead), self._gradient_dual(state, ahead))
        return _State(*map(_over_relaxed, state, reached))

    def bounded(self, x: Tensor) -> Tensor:
        return x if self.bounds == (None, None) else x.clamp(*self.bounds)

    def _data_dual(self, state: _State, ahead: Tensor) -> Tensor:
        batch = self.dual_step.shape[: self.dual_step.ndim - self.in_dims]
        step = self.dual_step.reshape(*batch, *(1,) * self.out_dims)
        moved = state.data_dual - step * self.root * self.likelihood.residual(ahead)
        length = inner(moved, moved, self.out_dims).sqrt()
        # Moreau: the conjugate of a ball's indicator shortens by the step times the radius
        shortened = (length - step * self.radius).clamp(min=0)
        return moved * torch.where(length > 0, shortened / length, 0.0)

    def _gradient_dual(self, state: _State, ahead: Tensor) -> Tensor:
        step = self.dual_step.unsqueeze(-self.in_dims - 1) / self.gradient.norm
        moved = state.gradient_dual + step * self.gradient(ahead)
        length = moved.abs()
        if self.isotropic:
            length = length.square().sum(-self.in_dims - 1, keepdim=True).sqrt()
        return moved / length.clamp(min=1)

    def _coarse_image(self, likelihood: Likelihood) -> Tensor:
        """Return four steps of conjugate gradients on the data term from zero."""
        return conjugate_gradient(
            likelihood.weighted_normal,
            likelihood.weighted_adjoint,
            num_dims=self.in_dims,
            num_steps=4,
        )


def _over_relaxed(old: Tensor, new: Tensor) -> Tensor:
    return old + _RELAXATION * (new - old)
