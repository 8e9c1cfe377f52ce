"""Pairs of a clean image and one with noise where something is missing.

The data-dependent couplings of :cite:t:`albergo2024`: x0 keeps what is known of x1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.couplings import Draw, Source

__all__ = ["EnlargedCoupling", "MaskedCoupling"]


@dataclass(frozen=True, eq=False)
class EnlargedCoupling:
    r"""Super-resolution, from a noisy enlargement to the fine image.

    .. math:: x_0 = U D x_1 + \sigma \zeta

    with a standard normal zeta. The condition is U D x1. Without zeta the law of x0 would lie on
    the images of U, and no flow could carry it to the fine images that share a coarse one.

    Args:
        images: Draws x1, ``(count, *shape)``.
        shrink: D, to the coarse grid.
        enlarge: U, back to the fine grid.
        sigma: Noise of x0, in units of the images.

    Raises:
        ValueError: sigma is not positive and finite.
    """

    images: Source
    shrink: Callable[[Tensor], Tensor]
    enlarge: Callable[[Tensor], Tensor]
    sigma: float

    def __post_init__(self) -> None:
        _check_positive("EnlargedCoupling", "sigma", self.sigma)

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs."""
        x1 = self.images(count, generator)
        enlarged = self.enlarge(self.shrink(x1))
        return Draw(enlarged + self.sigma * _normal_like(x1, generator), x1, enlarged)


@dataclass(frozen=True, eq=False)
class MaskedCoupling:
    r"""Inpainting, from noise in the hole to the whole image.

    .. math:: x_0 = m x_1 + (1 - m) s \zeta

    with a standard normal zeta. The condition is the mask m and m x1, one after the other along
    axis 1. Known pixels are the same at both ends: with gamma = 0 their velocity is zero.

    Args:
        images: Draws x1, ``(count, channel, *shape)``.
        masks: Draws m, 1 where a pixel is known and 0 elsewhere, ``(count, channel, *shape)`` or
            with one channel.
        spread: s, standard deviation of the noise in units of the images.

    Raises:
        ValueError: The spread is not positive and finite.
    """

    images: Source
    masks: Source
    spread: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("MaskedCoupling", "spread", self.spread)

    def draw(self, count: int, generator: torch.Generator) -> Draw:
        """Draw pairs."""
        x1 = self.images(count, generator)
        mask = self.masks(count, generator).to(x1)
        known = mask * x1
        x0 = known + (1 - mask) * self.spread * _normal_like(x1, generator)
        return Draw(x0, x1, torch.cat([mask, known], 1))


def _normal_like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype)


def _check_positive(name: str, argument: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name}: expected {argument} > 0, got {value}")
