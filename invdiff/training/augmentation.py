"""Random changes of training images: those that users name one by one, and all together."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from invdiff.training.deformation import Deformation, deformed, flipped
from invdiff.training.intensity import bias_changed, gamma_changed, phase_changed

__all__ = ["Augmentation", "cropped", "gamma_changed", "mirrored"]


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the images of a batch, each image its own; zeros change no bit.

    An image is flipped, then turned, scaled, shifted and bent with a single bilinear
    interpolation, then changed in its values. The defaults leave the values alone: those of CT
    mean something, those of MR have no fixed scale, where 0.15 suits ``gamma`` and ``bias``.

    Args:
        rotation_deg: Largest angle to either side, in degrees.
        scale: Largest change of the size: a factor in [1 / (1 + scale), 1 + scale].
        shift: Largest shift along each axis, as a share of the side.
        flip: Probability that left and right are exchanged.
        elastic_px: Standard deviation of a smooth displacement, in pixels.
        elastic_grid: Distance between the grid points of the displacement, in pixels, >= 1.
        gamma: Standard deviation of the logarithm of the power of the magnitude.
        bias: Standard deviation of the logarithm of a smooth factor.
        phase: Standard deviation of a smooth phase, in radians, beside a constant one that is
            uniform on the circle; complex images only. With 0 the phase stays.

    Raises:
        ValueError: A number out of its range.
    """

    rotation_deg: float = 10.0
    scale: float = 0.1
    shift: float = 0.03
    flip: float = 0.5
    elastic_px: float = 1.0
    elastic_grid: float = 32.0
    gamma: float = 0.0
    bias: float = 0.0
    phase: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= value < math.inf for value in astuple(self)):
            raise ValueError(f"Augmentation: expected finite numbers >= 0, got {self}")
        if self.flip > 1 or self.elastic_grid < 1:
            raise ValueError(
                f"Augmentation: expected flip <= 1 and elastic_grid >= 1, got {self.flip} and "
                f"{self.elastic_grid}"
            )

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return changed images; the device is not waited for.

        Args:
            images: ``(batch, channels, height, width)``, floating point. One channel is a
                magnitude in [-1, 1], where -1 is air, and stays in this range; two are real and
                imaginary part, where 0 is air.
            generator: On the device of the images; the only source of randomness.

        Raises:
            ValueError: Images of another shape, or a phase for images without.
        """
        if images.ndim != 4 or images.shape[1] not in (1, 2) or not images.is_floating_point():
            raise ValueError(
                "Augmentation: expected floating-point images (batch, 1 or 2, height, width), "
                f"got {tuple(images.shape)}"
            )
        if self.phase and images.shape[1] == 1:
            raise ValueError("Augmentation: images of one channel have no phase")
        if self.flip:
            images = flipped(images, self.flip, generator)
        images = self._moved(images, generator)
        return (
            self._revalued(images, generator) if self.gamma or self.bias or self.phase else images
        )

    def _moved(self, images: Tensor, generator: torch.Generator) -> Tensor:
        if not (self.rotation_deg or self.scale or self.shift or self.elastic_px):
            return images
        deformation = Deformation(
            self.rotation_deg, self.scale, self.shift, self.elastic_px, self.elastic_grid
        )
        height, width = images.shape[-2:]
        points = deformation.sample(
            len(images), (height, width), generator=generator, dtype=images.dtype
        )
        return deformed(images, points, fill=-1.0 if images.shape[1] == 1 else 0.0)

    def _revalued(self, images: Tensor, generator: torch.Generator) -> Tensor:
        if images.shape[1] == 1:
            return 2 * self._changed((images + 1) / 2, generator).clamp(0, 1) - 1
        values = torch.view_as_complex(images.movedim(1, -1).contiguous())
        return torch.view_as_real(self._changed(values, generator)).movedim(-1, 1)

    def _changed(self, values: Tensor, generator: torch.Generator) -> Tensor:
        if self.gamma:
            # interpolation rounds air to a little below nothing
            whole = values if values.is_complex() else values.clamp(min=0)
            values = gamma_changed(whole, self.gamma, generator)
        if self.bias:
            values = bias_changed(values, self.bias, generator)
        return phase_changed(values, self.phase, generator) if self.phase else values


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


def _coin(images: Tensor, generator: torch.Generator) -> Tensor:
    shape = (len(images), 1, 1)
    return torch.rand(shape, generator=generator, device=images.device) < 0.5
