"""How far drawn slices are from real ones, and what a flow is worth as a denoiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from invdiff.interpolants.flow_prior import FlowPrior
from invdiff.interpolants.image_field import ImageField
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.process import FieldProcess
from invdiff.metrics import psnr

__all__ = [
    "Components",
    "energy_distance",
    "energy_error",
    "flow_denoising_psnr",
    "frechet_distance",
]

_NUM_PARTS = 4


@dataclass(frozen=True, eq=False)
class Components:
    """The main components of slices: a fixed and small space to compare laws in.

    Args:
        mean: ``(pixels,)``.
        directions: Orthonormal, ``(components, pixels)``.
    """

    mean: Tensor
    directions: Tensor

    @classmethod
    def of(cls, slices: Tensor, count: int) -> Self:
        """Return at most so many components of slices ``(slices, size, size)``."""
        flat = slices.double().flatten(1)
        mean = flat.mean(0)
        _, _, rows = torch.linalg.svd(flat - mean, full_matrices=False)
        return cls(mean, rows[: min(count, len(slices) - 1)])

    def coordinates(self, images: Tensor) -> Tensor:
        """Return ``(images, components)``, float64."""
        return (images.to(self.mean).flatten(1) - self.mean) @ self.directions.mT


def energy_distance(x: Tensor, y: Tensor) -> float:
    r"""Return the energy distance of two clouds ``(count, dim)``, unbiased: it may be below 0.

    .. math:: 2 E|X - Y| - E|X - X'| - E|Y - Y'|

    :cite:p:`szekely2013`; 0 for equal laws.
    """
    within = sum(float(torch.cdist(z, z).sum()) / (len(z) * (len(z) - 1)) for z in (x, y))
    return 2 * float(torch.cdist(x, y).mean()) - within


def energy_error(x: Tensor, y: Tensor) -> float:
    """Return the standard error of the energy distance from the choice of x, by four parts of it.

    Args:
        x: ``(count, dim)``, of 8 or more points; else the error is 0.
        y: The reference, ``(count, dim)``, as it is.
    """
    parts = [part for part in torch.chunk(x, _NUM_PARTS) if len(part) > 1]
    if len(parts) < _NUM_PARTS:
        return 0.0
    found = torch.tensor([energy_distance(part, y) for part in parts])
    return float(found.std()) / _NUM_PARTS**0.5


def frechet_distance(x: Tensor, y: Tensor) -> float:
    r"""Return the Frechet distance of normal laws with the moments of two clouds ``(count, dim)``.

    .. math:: |m_x - m_y|^2 + \operatorname{tr}(C_x + C_y - 2 (C_x^{1/2} C_y C_x^{1/2})^{1/2})

    Few points make it too large. In the components it is not the FID, whose features are those of
    a network for photographs.
    """
    cx, cy = (torch.cov(z.mT).reshape(z.shape[1], z.shape[1]) for z in (x, y))
    values, vectors = torch.linalg.eigh(cx)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.mT
    cross = torch.linalg.eigvalsh(root @ cy @ root).clamp(min=0).sqrt().sum()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    return float(shift + cx.trace() + cy.trace() - 2 * cross)


def flow_denoising_psnr(
    field: ImageField, images: Tensor, noise: Tensor, sigma: float, data_range: float
) -> float:
    """Return the PSNR of noisy images after one call of a flow as a denoiser, in dB.

    Args:
        field: The velocity.
        images: Clean, ``(count, size, size)``, in units of the flow.
        noise: White, of the same shape.
        sigma: Its standard deviation, in the same units.
        data_range: Of the images, in the same units.
    """
    prior = FlowPrior(FieldProcess(OneSided(), b=field), (-data_range, data_range))
    with torch.no_grad():
        found = prior(images + sigma * noise, torch.tensor(sigma))
    return float(psnr(found, images, data_range=data_range).mean())
