"""The inputs of a case, which every package then brings into its own layout."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.bench.contender import Contender
from operators import FanGeometry, ImageGrid, LinearOperator, ParallelGeometry

__all__ = ["BlurSetup", "MRISetup", "ScanSetup", "of_operator", "random_images"]


@dataclass(frozen=True, eq=False)
class ScanSetup:
    """A CT scan of images x (batch, rows, columns)."""

    grid: ImageGrid
    geometry: ParallelGeometry | FanGeometry
    x: Tensor


@dataclass(frozen=True, eq=False)
class MRISetup:
    """Multi-coil k-space of images x (batch, height, width), at the True entries of a mask."""

    mask: Tensor
    maps: Tensor
    x: Tensor


@dataclass(frozen=True, eq=False)
class BlurSetup:
    """A point spread function over images x (batch, channels, height, width), periodic."""

    psf: Tensor
    x: Tensor


def random_images(*shape: int, device: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw the same normals for every package."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=dtype).to(device)


def of_operator(name: str, operator: LinearOperator, x: Tensor) -> Contender:
    """Let an operator of this project take part."""
    return Contender.of(name, operator, operator.adjoint, x)
