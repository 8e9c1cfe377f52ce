"""Changes of training images that keep their resolution: no pixel is interpolated."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cropped", "gamma_changed", "mirrored", "shifted"]


def cropped(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Return a square part of each image, its place drawn at random.

    Args:
        images: ``(batch, height, width)``.
        side: Of the parts, in pixels.
        generator: On the device of the images.

    Raises:
        ValueError: A side longer than one of the images.
    """
    if not 1 <= side <= min(images.shape[-2:]):
        raise ValueError(f"cropped: no {side} pixels in images of {tuple(images.shape[-2:])}")
    for axis in (-2, -1):
        most = images.shape[axis] - side + 1
        first = torch.randint(most, (len(images), 1), generator=generator, device=images.device)
        images = _taken(images, axis, first + torch.arange(side, device=images.device))
    return images


def mirrored(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return each image under one of the eight symmetries of the square, drawn at random.

    Args:
        images: ``(batch, side, side)``.
        generator: On the device of the images.

    Raises:
        ValueError: The images are not square.
    """
    if images.shape[-1] != images.shape[-2]:
        raise ValueError(f"mirrored: expected square images, got {tuple(images.shape[-2:])}")
    images = torch.where(_coin(images, generator), images.flip(-1), images)
    images = torch.where(_coin(images, generator), images.flip(-2), images)
    return torch.where(_coin(images, generator), images.mT, images)


def shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return each image moved by whole pixels, edges repeated.

    Args:
        images: ``(batch, height, width)``.
        most: Largest shift along an axis, in pixels.
        generator: On the device of the images.
    """
    for axis in (-2, -1):
        size = images.shape[axis]
        shift = torch.randint(
            -most, most + 1, (len(images), 1), generator=generator, device=images.device
        )
        source = (torch.arange(size, device=images.device) + shift).clamp(0, size - 1)
        images = _taken(images, axis, source)
    return images


def gamma_changed(images: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Return each image in [0, 1] to a power whose logarithm is normal of that spread."""
    draw = torch.randn(len(images), 1, 1, generator=generator, device=images.device)
    return images ** (spread * draw).exp()


def _taken(images: Tensor, axis: int, places: Tensor) -> Tensor:
    """Return the rows or columns of each image at its own places, ``(batch, count)``."""
    index = places.unsqueeze(2 if axis == -2 else 1)
    other = images.shape[-1 if axis == -2 else -2]
    shape = (len(images), -1, other) if axis == -2 else (len(images), other, -1)
    return images.gather(axis, index.expand(shape))


def _coin(images: Tensor, generator: torch.Generator) -> Tensor:
    shape = (len(images), 1, 1)
    return torch.rand(shape, generator=generator, device=images.device) < 0.5
