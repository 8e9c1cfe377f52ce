"""Images turned, scaled, shifted and bent, with one interpolation for all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from invdiff.training.smooth_field import smooth_fields

__all__ = ["Deformation", "deformed", "elastic_displacements", "flipped"]

# below 1 / 2.046, which keeps a map of cubic B-splines injective (Choi and Lee 2000)
_LARGEST_SHARE = 0.48


@dataclass(frozen=True)
class Deformation:
    r"""Where an image is read for each pixel q of the new one, :math:`p = A (q + u(q)) + t`.

    Args:
        rotation_deg: Largest angle to either side, uniform, in degrees.
        scale: Largest change of the size: a factor in [1 / (1 + scale), 1 + scale], its
            logarithm uniform.
        shift: Largest shift along each axis, uniform, as a share of the side.
        elastic_px: Standard deviation of u, in pixels.
        elastic_grid: Distance between the grid points of u, in pixels.
    """

    rotation_deg: float
    scale: float
    shift: float
    elastic_px: float
    elastic_grid: float

    def sample(
        self, count: int, size: tuple[int, int], *, generator: torch.Generator, dtype: torch.dtype
    ) -> Tensor:
        """Return the points p, ``(count, rows, columns, 2)``: x and y from the centre, in pixels.

        Args:
            count: Images.
            size: Rows and columns.
            generator: The only source of randomness; the points are on its device.
            dtype: Of the points.
        """
        points = _pixels(size, generator.device, dtype)
        if self.elastic_px:
            points = points + elastic_displacements(
                count, size, self.elastic_px, self.elastic_grid, generator=generator, dtype=dtype
            )
        shape = (4, count, 1, 1)
        draw = 2 * torch.rand(shape, generator=generator, device=generator.device, dtype=dtype) - 1
        angle = math.radians(self.rotation_deg) * draw[0]
        size_factor = (math.log1p(self.scale) * draw[1]).exp()
        cos, sin = angle.cos() / size_factor, angle.sin() / size_factor
        x, y = points.unbind(-1)
        return torch.stack(
            (
                cos * x - sin * y + self.shift * size[1] * draw[2],
                sin * x + cos * y + self.shift * size[0] * draw[3],
            ),
            dim=-1,
        )


def elastic_displacements(
    count: int, size: tuple[int, int], std: float, spacing: float, *,
    generator: torch.Generator, dtype: torch.dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """Return smooth displacements that never fold the image :cite:p:`rueckert1999,choi2000`.

    Coefficients beyond 0.48 of the spacing are cut off, so that the Jacobian determinant of
    q + u(q) stays positive whatever is drawn.

    Args:
        count: Images.
        size: Rows and columns.
        std: Standard deviation of each component, in pixels.
        spacing: Distance of the grid points, in pixels.
        generator: The only source of randomness.
        dtype: Of the displacements.

    Returns:
        ``(count, rows, columns, 2)``, x and y, in pixels.
    """
    fields = smooth_fields(
        (count, 2), size, spacing,
        std=std, bound=_LARGEST_SHARE * spacing, generator=generator, dtype=dtype,
    )  # fmt: skip
    return fields.movedim(1, -1)


def deformed(images: Tensor, points: Tensor, fill: float) -> Tensor:
    """Return images read at points between the pixels, bilinearly.

    Args:
        images: ``(batch, channels, height, width)``.
        points: ``(batch, height, width, 2)``: x and y from the centre, in pixels.
        fill: The value of the images outside, that of air.
    """
    height, width = images.shape[-2:]
    sides = torch.stack((points[..., 0] * (2 / width), points[..., 1] * (2 / height)), dim=-1)
    # zeros outside are what grid_sample can do
    found = grid_sample(images - fill, sides, mode="bilinear", align_corners=False)
    return found + fill


def flipped(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Return images with left and right exchanged, at random.

    Args:
        images: ``(batch, ..., width)``.
        probability: Of the exchange.
        generator: On the device of the images.
    """
    shape = (len(images), *[1] * (images.ndim - 1))
    draw = torch.rand(shape, generator=generator, device=images.device)
    return torch.where(draw < probability, images.flip(-1), images)


def _pixels(size: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
    y, x = (torch.arange(n, device=device, dtype=dtype) - (n - 1) / 2 for n in size)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
