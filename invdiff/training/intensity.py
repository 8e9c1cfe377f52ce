"""Changes of the values of images, where no pixel moves."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.training.smooth_field import smooth_fields

__all__ = ["bias_changed", "gamma_changed", "phase_changed"]

# coil sensitivities and field inhomogeneity vary over about half of the field of view
_SPACING = 0.5


def gamma_changed(images: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Return each image to a power whose logarithm is normal of that spread.

    Args:
        images: ``(batch, ..., height, width)``: real in [0, 1], or complex, where the magnitude
            goes to the power and the phase stays.
        spread: Standard deviation of the logarithm.
        generator: On the device of the images.
    """
    shape = (len(images), *[1] * (images.ndim - 1))
    draw = torch.randn(shape, generator=generator, device=images.device)
    power = (spread * draw).exp()
    if not images.is_complex():
        return images**power
    magnitude = images.abs()
    # 0 / 0 where there is no signal
    tiny = torch.finfo(magnitude.dtype).tiny
    return images * (magnitude**power / magnitude.clamp(min=tiny))


def bias_changed(images: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Return each image times a smooth positive field, as coils cause it.

    Args:
        images: ``(batch, ..., height, width)``, magnitudes or complex; a field for each image.
        spread: Standard deviation of the logarithm of the field.
        generator: On the device of the images.
    """
    return images * (spread * _fields(images, generator)).exp()


def phase_changed(images: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    r"""Return each image times :math:`e^{i (\phi + s(x))}`, as coils and the main field cause it.

    Args:
        images: ``(batch, ..., height, width)``, complex.
        spread: Standard deviation of the smooth phase s, in radians; the constant
            :math:`\phi` is uniform on the circle.
        generator: On the device of the images.
    """
    shape = (len(images), *[1] * (images.ndim - 1))
    turn = 2 * math.pi * torch.rand(shape, generator=generator, device=images.device)
    phase = turn + spread * _fields(images, generator)
    return images * torch.polar(torch.ones_like(phase), phase).to(images.dtype)


def _fields(images: Tensor, generator: torch.Generator) -> Tensor:
    height, width = images.shape[-2:]
    singles = [1] * (images.ndim - 3)
    return smooth_fields(
        (len(images), *singles), (height, width), max(1.0, _SPACING * max(height, width)),
        generator=generator, dtype=images.dtype.to_real(),
    )  # fmt: skip
