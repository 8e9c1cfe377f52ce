"""Changes of training images that keep their resolution: no pixel is interpolated."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cropped", "gamma_changed", "mirrored"]


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


def cropped(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Return a square part of each image, from anywhere in it.

    Args:
        images: ``(batch, height, width)``.
        side: Rows and columns of the parts.
        generator: On the device of the images.

    Raises:
        ValueError: The images are smaller than that.
    """
    if side < 1 or side > min(images.shape[-2:]):
        raise ValueError(f"cropped: cannot cut {side} out of {tuple(images.shape[-2:])}")
    for axis in (-2, -1):
        room = images.shape[axis] - side + 1
        first = torch.randint(room, (len(images), 1), generator=generator, device=images.device)
        index = (first + torch.arange(side, device=images.device)).unsqueeze(2 if axis == -2 else 1)
        shape = list(images.shape)
        shape[axis] = side
        images = images.gather(axis, index.expand(shape))
    return images


def gamma_changed(images: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Return each image in [0, 1] to a power whose logarithm is normal of that spread."""
    draw = torch.randn(len(images), 1, 1, generator=generator, device=images.device)
    return images ** (spread * draw).exp()


def _coin(images: Tensor, generator: torch.Generator) -> Tensor:
    shape = (len(images), 1, 1)
    return torch.rand(shape, generator=generator, device=images.device) < 0.5
