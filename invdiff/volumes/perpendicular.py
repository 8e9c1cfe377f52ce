"""The prior of slices on the planes that stand across them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser
from invdiff.rng import derive_generator
from invdiff.samplers.base import denoised
from invdiff.volumes.coupling import CouplingState, DataStep, Terms
from invdiff.volumes.perpendicular_planes import Plane, num_rows, resampling
from invdiff.volumes.split import Split

__all__ = ["PerpendicularPrior"]

_CORONAL, _SAGITTAL = Plane("coronal", 1), Plane("sagittal", 2)
# planes that are resampled at once: bounds the memory by that of a few slices
_CHUNK = 16


@dataclass(frozen=True)
class PerpendicularPrior:
    r"""Coronal and sagittal planes follow the prior too, as by :cite:t:`lee2023tpdm`.

    .. math:: \tfrac{\kappa w}{2} \|x - T\|^2, \qquad
        T = u + \tfrac1m \sum_{p} P_p^T S_p^T \bigl(D(v_p + \sigma n_p, \sigma) - v_p\bigr), \quad
        v_p = S_p P_p u

    P cuts the volume u into the planes of one of the m directions and S resamples them along z to
    square pixels, where the network denoises them. Only its correction goes back through the
    second resampling, so that u keeps what square pixels cannot hold. The noise is drawn on the
    square pixels, for each step, sample and plane by itself.

    A volume on several machines is gathered, and each of them denoises its share of the planes.

    Args:
        denoiser_of: Prior of planes of the size (rows, columns), in the units of the image; such
            as ``lambda size: resized(prior, size)``.
        spacing: Of slices, rows and columns, mm.
        strength: :math:`\kappa`, over the precision w of the denoised slices.
        planes: Of both directions in every step, or the coronal ones in even steps and the
            sagittal ones in odd steps at half the cost.
        of: u: the estimate before the step, which has no noise in RED-diff, or its denoised
            slices, for descents whose estimate is noisy.
        clip: Whether denoised planes are clamped to the data range.
        multiple: Rows of the planes are a multiple of this, which the network's poolings divide.

    Raises:
        ValueError: A number out of its range.
    """

    denoiser_of: Callable[[tuple[int, int]], Denoiser]
    spacing: tuple[float, float, float]
    strength: float = 1.0
    planes: Literal["both", "alternate"] = "both"
    of: Literal["estimate", "denoised"] = "estimate"
    clip: bool = True
    multiple: int = 32

    def __post_init__(self) -> None:
        if not (self.strength >= 0 and self.multiple >= 1):
            raise ValueError(
                f"PerpendicularPrior: expected strength >= 0 and multiple >= 1, got "
                f"{self.strength} and {self.multiple}"
            )
        if len(self.spacing) != 3 or not all(mm > 0 for mm in self.spacing):
            raise ValueError(
                f"PerpendicularPrior: expected three positive spacings, got {self.spacing}"
            )
        if self.planes not in ("both", "alternate") or self.of not in ("estimate", "denoised"):
            raise ValueError(
                "PerpendicularPrior: expected planes 'both' or 'alternate' of 'estimate' or "
                f"'denoised', got {self.planes!r} of {self.of!r}"
            )

    def calls_per_step(self, shape: tuple[int, int, int]) -> float:
        """Return the network calls of a step in slices: pixels of planes over those of a slice.

        Args:
            shape: Slices, rows and columns of the whole volume.
        """
        slices, rows, columns = shape
        pixels = sum(
            shape[plane.across] * shape[plane.along] * self._num_rows(plane, slices)
            for plane in (_CORONAL, _SAGITTAL)
        )
        return pixels / (rows * columns) / (1 if self.planes == "both" else 2)

    def init(self, x: Tensor, split: Split) -> CouplingState:
        """Carry nothing."""
        return ()

    def num_carried(self) -> int:
        """Count the tensors that are carried: none."""
        return 0

    def terms(self, state: CouplingState, step: DataStep) -> Terms:
        """Pull the volume to where the planes want it."""
        own = step.estimate if self.of == "estimate" else step.denoised
        whole = step.split.gather(own)
        planes = (_CORONAL, _SAGITTAL) if self.planes == "both" else self._turn(step.number)
        correction = sum(
            (self._correction(plane, whole, step) for plane in planes), torch.zeros_like(whole)
        )
        # each part knows the planes it denoised, and zero of the others
        correction = step.split.all_sum(correction / len(planes))
        target = own + correction.narrow(-3, step.split.first, step.split.count)
        weight = self.strength * step.weight
        return Terms(diagonal=weight, pull=weight * target)

    def update(self, state: CouplingState, x: Tensor, step: DataStep) -> CouplingState:
        """Carry nothing."""
        return ()

    def _turn(self, number: int) -> tuple[Plane]:
        return (_SAGITTAL if number % 2 else _CORONAL,)

    def _num_rows(self, plane: Plane, num_slices: int) -> int:
        return num_rows(num_slices, self.spacing[0], self.spacing[plane.along], self.multiple)

    def _correction(self, plane: Plane, volumes: Tensor, step: DataStep) -> Tensor:
        """Return D - v of the planes that are this part's to denoise, zero for the others."""
        cut = plane.cut(volumes)
        num_slices, num_pixels = cut.shape[-2:]
        rows = self._num_rows(plane, num_slices)
        denoiser = self.denoiser_of((rows, num_pixels))
        there, back = (
            resampling(*sizes).to(cut) for sizes in ((num_slices, rows), (rows, num_slices))
        )
        correction, sigma = torch.zeros_like(cut), step.sigma.to(cut.dtype.to_real())
        for k in range(cut.shape[0]):
            for chunk in torch.split(_share(cut.shape[1], step.split), _CHUNK):
                v = there @ cut[k, chunk]
                noisy = v + sigma * _plane_noise(plane.label, k, chunk, v, step)
                mean = denoised(denoiser, noisy, sigma, clip=self.clip)
                correction[k, chunk] = back @ (mean - v)
        return plane.joined(correction)


def _share(num_planes: int, split: Split) -> Tensor:
    """Return the numbers of the planes that the holder of these slices denoises."""
    first, end = (num_planes * k // split.total for k in (split.first, split.first + split.count))
    return torch.arange(first, end)


def _plane_noise(label: str, sample: int, planes: Tensor, like: Tensor, step: DataStep) -> Tensor:
    """Draw standard normals that depend on the seed, step, sample and plane alone."""
    streams = (
        derive_generator(step.noise.seed, label, step.number, sample, int(p)) for p in planes
    )
    parts = (*like.shape[1:], 2) if like.is_complex() else like.shape[1:]
    noise = torch.stack([torch.randn(parts, generator=g, dtype=like.real.dtype) for g in streams])
    return (torch.view_as_complex(noise) if like.is_complex() else noise).to(like.device)
