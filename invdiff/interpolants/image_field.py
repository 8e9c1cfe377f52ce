"""Networks of images with a channel axis as fields of images without."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.interpolants.process import Field

__all__ = ["ImageField"]

_CUDA_CHUNK = 256


@dataclass(frozen=True)
class ImageField:
    """A field of ``(batch, channel, height, width)`` on images of any batch, in chunks.

    Args:
        field: Such as a ``FieldUNet``, or what ``told`` makes of one.
        image_shape: ``(height, width)`` for one channel, else ``(channel, height, width)``.
        chunk_size: Images per call; None: 1 on a CPU, where larger batches are slower, and 256
            on a GPU.

    Raises:
        ValueError: A shape of another length, or a chunk below 1.
    """

    field: Field
    image_shape: tuple[int, ...]
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        if len(self.image_shape) not in (2, 3) or (
            self.chunk_size is not None and self.chunk_size < 1
        ):
            raise ValueError(
                "ImageField: expected (height, width) or (channel, height, width) and chunks of at "
                f"least 1, got {self.image_shape} and {self.chunk_size}"
            )

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the field for x ``(*batch, *image_shape)``, t 0-dimensional or ``batch``.

        Raises:
            ValueError: Images of another shape.
        """
        shape = self.image_shape
        batch = x.shape[: x.ndim - len(shape)]
        if x.shape[len(batch) :] != shape:
            raise ValueError(f"ImageField: expected images of {shape}, got {tuple(x.shape)}")
        with_channel = shape if len(shape) == 3 else (1, *shape)
        images = x.reshape(math.prod(batch), *with_channel)
        levels = t.to(x.device).expand(batch).reshape(-1)
        size = self.chunk_size or (1 if x.device.type == "cpu" else _CUDA_CHUNK)
        chunks = zip(torch.split(images, size), torch.split(levels, size), strict=True)
        return torch.cat([self.field(*chunk) for chunk in chunks]).reshape(x.shape)
