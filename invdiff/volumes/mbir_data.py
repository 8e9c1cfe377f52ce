"""The data as DiffusionMBIR sees them: matched or not, weighted or not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import inner, ratio
from invdiff.volumes.split import Split
from operators import ParallelBeam2D, SliceStack

__all__ = ["Backprojection", "MeasuredVolume", "descend", "smear"]

Backprojection = Literal["adjoint", "published"]

_DIMS = 3


@dataclass(frozen=True)
class MeasuredVolume:
    r"""The normal equations :math:`B W A x = B W t` of a volume.

    Args:
        likelihood: A, t and W of the slices that are held here.
        split: Which slices these are.
        weighted: Whether W is that of the noise; 1 otherwise, as for data without noise.
        backprojection: B, the adjoint of A or ``smear``.

    Raises:
        ValueError: The published B for anything but slices of ``ParallelBeam2D``.
    """

    likelihood: Likelihood
    split: Split
    weighted: bool = True
    backprojection: Backprojection = "adjoint"

    def __post_init__(self) -> None:
        operator = self.likelihood.operator
        sliced = isinstance(operator, SliceStack) and isinstance(operator.operator, ParallelBeam2D)
        if self.backprojection == "published" and not sliced:
            raise ValueError(
                "DiffusionMBIR: the published backprojection is one of ParallelBeam2D slices, "
                f"got {type(operator).__name__}"
            )

    def back(self, y: Tensor) -> Tensor:
        """Return B y."""
        operator = self.likelihood.operator
        if self.backprojection == "adjoint":
            return operator.adjoint(y)
        return smear(operator.operator, y)  # type: ignore[arg-type]

    def normal(self, x: Tensor) -> Tensor:
        """Return B W A x."""
        if self.backprojection == "adjoint" and self.precision.ndim == 0:
            return self.precision * self.likelihood.operator.normal(x)
        return self.back(self.precision * self.likelihood.operator(x))

    @property
    def target(self) -> Tensor:
        """B W t."""
        return self.back(self.precision * self.likelihood.target)

    @property
    def precision(self) -> Tensor:
        """The diagonal of W."""
        precision = self.likelihood.precision
        return precision if self.weighted else precision.new_ones(())

    def curvature(self) -> Tensor:
        r"""Return :math:`\langle 1, B W A 1 \rangle / \langle 1, 1 \rangle`, 0-dimensional.

        In CT this is close to the largest eigenvalue, and takes one product.
        """
        ones = torch.ones_like(self.likelihood.weighted_adjoint)
        total = self.split.total * ones[0].numel()
        return self.split.all_sum(inner(ones, self.normal(ones), _DIMS)).reshape(()) / total

    def kaczmarz(self, x: Tensor) -> Tensor:
        r"""Return :math:`x + B (t - A x) / B A 1`, without weights; x where no ray goes."""
        operator, residual = self.likelihood.operator, self.likelihood.residual(x)
        ones = torch.ones_like(self.likelihood.weighted_adjoint)
        norm = self.back(operator(ones)).real
        safe = torch.where(norm > 0, norm, 1.0)
        return x + torch.where(norm > 0, self.back(residual) / safe, 0.0)


def smear(operator: ParallelBeam2D, sinogram: Tensor) -> Tensor:
    r"""Smear views back over the image by linear interpolation; this is no adjoint.

    .. math:: (B y)_p = \frac{\pi}{2 V} \sum_v y_v(s_v(p))

    with the shadow s of the centre of pixel p on the detector of view v. The adjoint has lengths of
    rays in pixels instead: B A is not symmetric.

    Args:
        operator: Projector whose V views these are.
        sinogram: Shape ``(*batch, views, detectors)``, zero beyond the outermost elements.
    """
    geometry, last = operator.geometry, operator.geometry.num_detectors - 1
    x, y = (torch.from_numpy(c).to(sinogram.device) for c in operator.grid.coordinates())
    image = sinogram.new_zeros(*sinogram.shape[:-2], *operator.grid.shape)
    start = float(geometry.detector_positions()[0])
    for view, angle in enumerate(geometry.angles):
        across = x * math.cos(angle) + y[:, None] * math.sin(angle)
        place = (across - start) / geometry.detector_spacing
        low = place.floor()
        for element, share in ((low, 1 - (place - low)), (low + 1, place - low)):
            weight = torch.where((element >= 0) & (element <= last), share, 0.0).to(sinogram)
            index = element.clamp(0, last).long()
            image += weight * sinogram[..., view, :][..., index]
    return image * (math.pi / (2 * len(geometry.angles)))


def descend(
    matrix: Callable[[Tensor], Tensor],
    b: Tensor,
    x: Tensor,
    product: Callable[[Tensor, Tensor], Tensor],
    *,
    num_steps: int,
    conjugate: bool,
) -> Tensor:
    """Make steps of conjugate gradients towards M x = b :cite:p:`hestenes1952`.

    Args:
        matrix: Applies M.
        b: Right-hand side.
        x: First iterate.
        product: Inner product, which says what has a step size in common.
        num_steps: Steps; all are made.
        conjugate: Otherwise the second direction is computed as by the published code, where the
            first direction and the residual are the same array: the update of the residual has
            overwritten the direction, and the second one is along the residual, its step too short.
    """
    r = b - matrix(x)
    p, rr = r, product(r, r)
    for number in range(num_steps):
        q = matrix(p)
        step = ratio(rr, product(p, q))
        x, r = x + step * p, r - step * q
        last, rr = rr, product(r, r)
        overwritten = number == 0 and not conjugate
        p = r + ratio(rr, last) * (r if overwritten else p)
    return x
