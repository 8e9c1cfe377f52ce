"""The prior of slices on the planes that stand across them, and on finer pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser
from invdiff.rng import derive_generator
from invdiff.samplers.base import denoised
from invdiff.volumes.coupling import CouplingState, DataStep, Terms
from invdiff.volumes.memory import IN_CORE, Memory
from invdiff.volumes.perpendicular_planes import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    Plane,
    plane_size,
    resampling,
)
from invdiff.volumes.split import Split

__all__ = ["PerpendicularPrior"]

# the planes of each step, in turns
_TURNS = {
    "both": ((CORONAL, SAGITTAL),),
    "alternate": ((CORONAL,), (SAGITTAL,)),
    "all": ((AXIAL,), (CORONAL,), (AXIAL,), (SAGITTAL,)),
}
# planes that are resampled at once: bounds the memory by that of a few slices
_CHUNK = 16


@dataclass(frozen=True)
class PerpendicularPrior:
    r"""Coronal and sagittal planes follow the prior too, as by :cite:t:`lee2023tpdm`.

    .. math:: \tfrac{\kappa w}{2} \|x - T\|^2, \qquad
        T = u + \tfrac1m \sum_{p} P_p^T S_p^+ \bigl(D(v_p + \sigma n_p, \sigma) - v_p\bigr), \quad
        v_p = S_p P_p u

    P cuts the volume u into the planes of one of the m directions of a step. S resamples them to
    square pixels, where the network denoises them, and S^+ resamples its correction back, so that
    u keeps what square pixels cannot hold. The noise is drawn on the square pixels, for each
    step, sample and plane by itself.

    A volume on several machines is gathered, and each of them denoises its share of the planes.

    Args:
        denoiser_of: Prior of planes of the size (height, width), in the units of the image; such
            as ``lambda size: resized(prior, size)``.
        spacing: Of slices, rows and columns, mm.
        strength: :math:`\kappa`, over the precision w of the denoised slices.
        planes: "both" directions in every step; "alternate": coronal planes in even steps,
            sagittal ones in odd steps, at half the cost; "all": axial, coronal, axial, sagittal
            in turns.
        of: u: the "estimate" before the step, which has no noise in RED-diff, or its "denoised"
            slices, for descents whose estimate is noisy.
        zoom: How many times finer the square pixels are than those of the slices: a network
            knows anatomy at the scale of its training, and the volume may be on a coarser grid.
        clip: Whether denoised planes are clamped to the data range.
        multiple: Sides of resampled planes are a multiple of this, which the network's poolings
            divide.

    Raises:
        ValueError: A number out of its range, or an unknown word.
    """

    denoiser_of: Callable[[tuple[int, int]], Denoiser]
    spacing: tuple[float, float, float]
    strength: float = 1.0
    planes: Literal["both", "alternate", "all"] = "both"
    of: Literal["estimate", "denoised"] = "estimate"
    zoom: float = 1.0
    clip: bool = True
    multiple: int = 32

    def __post_init__(self) -> None:
        if not (self.strength >= 0 and self.zoom > 0 and self.multiple >= 1):
            raise ValueError(
                "PerpendicularPrior: expected strength >= 0, zoom > 0 and multiple >= 1, got "
                f"{self.strength}, {self.zoom} and {self.multiple}"
            )
        if len(self.spacing) != 3 or not all(mm > 0 for mm in self.spacing):
            raise ValueError(
                f"PerpendicularPrior: expected three positive spacings, got {self.spacing}"
            )
        if self.planes not in _TURNS or self.of not in ("estimate", "denoised"):
            raise ValueError(
                f"PerpendicularPrior: expected planes of {', '.join(_TURNS)}, of estimate or "
                f"denoised, got {self.planes!r} of {self.of!r}"
            )

    def calls_per_step(self, shape: tuple[int, int, int]) -> float:
        """Return the mean number of network calls of a step: pixels of planes over a slice's.

        Args:
            shape: Slices, rows and columns of the whole volume.
        """
        turns = _TURNS[self.planes]
        pixels = sum(shape[p.across] * prod(self._size(p, shape)) for turn in turns for p in turn)
        return pixels / (shape[1] * shape[2] * len(turns))

    def init(self, x: Tensor, split: Split, memory: Memory = IN_CORE) -> CouplingState:
        """Carry nothing."""
        return ()

    def num_carried(self) -> int:
        """Count the tensors that are carried: none."""
        return 0

    def terms(self, state: CouplingState, step: DataStep) -> Terms:
        """Pull the volume to where the planes want it."""
        own = step.estimate if self.of == "estimate" else step.denoised
        whole = step.split.gather(own)
        turns = _TURNS[self.planes]
        planes = turns[step.number % len(turns)]
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

    def _size(self, plane: Plane, shape: Sequence[int]) -> tuple[int, int]:
        return plane_size(plane.axes(shape), plane.axes(self.spacing), self.zoom, self.multiple)

    def _correction(self, plane: Plane, volumes: Tensor, step: DataStep) -> Tensor:
        """Return S^+ (D - v) of the planes that are this part's to denoise, zero for the others."""
        cut, size = plane.cut(volumes), self._size(plane, volumes.shape[1:])
        denoiser = self.denoiser_of(size)
        square, back = _Resampling(cut.shape[-2:], size), _Resampling(size, cut.shape[-2:])
        correction, sigma = torch.zeros_like(cut), step.sigma.to(cut.dtype.to_real())
        share = _share(cut.shape[1], step.split)
        # with more parts than planes some have none
        chunks = torch.split(share, _CHUNK) if len(share) else ()
        for k in range(cut.shape[0]):
            for chunk in chunks:
                v = square(cut[k, chunk])
                noisy = v + sigma * _plane_noise(plane.label, k, chunk, v, step)
                mean = denoised(denoiser, noisy, sigma, clip=self.clip)
                correction[k, chunk] = back(mean - v)
        return plane.joined(correction)


class _Resampling:
    """Images at another size."""

    def __init__(self, size: Sequence[int], new: Sequence[int]) -> None:
        self._height, self._width = resampling(size[0], new[0]), resampling(size[1], new[1])

    def __call__(self, v: Tensor) -> Tensor:
        return self._height.to(v) @ v @ self._width.to(v).mT


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
