"""Denoisers of other packages as priors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

__all__ = ["DenoiserAdapter", "SigmaUnit"]

SigmaUnit = Literal["image", "byte", "half_range"]


class DenoiserAdapter:
    r"""Any ``denoiser(x, sigma)`` as a Denoiser, such as the models of deepinv.

    The noise level is handed over in the units that the denoiser takes:

    - "image": those of x. deepinv's denoisers, with x in [0, 1] :cite:p:`tachella2025`.
    - "byte": of grey values 0 to 255, :math:`255\, \sigma / (b - a)` for a range [a, b].
    - "half_range": :math:`2\, \sigma / (b - a)`, as if the images were in [-1, 1].

    A denoiser that isn't a posterior mean, or that ignores its level, remains one: what a sampler
    makes of it is then no posterior.

    Args:
        call: Takes images ``(batch, channel, height, width)`` and a level; gives images alike.
        data_range: Of the images that it was trained on, in the units that it takes.
        image_shape: ``(channel, height, width)``, or ``(height, width)`` for one channel without
            an axis of its own; None for ``(channel, height, width)`` of any size.
        sigma_unit: Units of the level.
        per_image_sigma: The level is a tensor ``(batch,)``; else a float, and images of other
            levels go in calls of their own.

    Attributes:
        num_calls: Images denoised so far.

    Raises:
        ValueError: A range or a shape that isn't one, or units that aren't known.
    """

    def __init__(
        self,
        call: Callable[[Tensor, Tensor | float], Tensor],
        *,
        data_range: tuple[float, float] = (0.0, 1.0),
        image_shape: tuple[int, ...] | None = None,
        sigma_unit: SigmaUnit = "image",
        per_image_sigma: bool = True,
    ) -> None:
        low, high = float(data_range[0]), float(data_range[1])
        if not low < high or high - low == float("inf"):
            raise ValueError(f"adapter: expected data_range low < high, got {data_range}")
        if image_shape is not None and (len(image_shape) not in (2, 3) or min(image_shape) < 1):
            raise ValueError(
                f"adapter: expected image_shape (height, width) or (channel, height, width), "
                f"got {image_shape}"
            )
        units = {"image": 1.0, "byte": 255 / (high - low), "half_range": 2 / (high - low)}
        if sigma_unit not in units:
            raise ValueError(
                f"adapter: expected sigma_unit of {', '.join(units)}, got {sigma_unit!r}"
            )
        self.call, self.per_image_sigma = call, per_image_sigma
        self.data_range = (low, high)
        self.image_shape = None if image_shape is None else tuple(image_shape)
        self.num_calls = 0
        self._unit = units[sigma_unit]

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return what the denoiser makes of x ``(*batch, *image_shape)``, in its dtype and device.

        Args:
            x: Real images, in the units of ``data_range``.
            sigma: 0-dimensional or ``batch``, in the same units.

        Raises:
            ValueError: Images of another shape, or a denoiser that changes it.
        """
        axes = 3 if self.image_shape is None else len(self.image_shape)
        shape = x.shape[max(x.ndim - axes, 0) :]
        if len(shape) < axes or x.is_complex() or shape != (self.image_shape or shape):
            raise ValueError(
                f"adapter: expected real images of {self.image_shape or '(channel, height, width)'}"
                f", got {tuple(x.shape)}"
            )
        batch = x.shape[: x.ndim - axes]
        images = x.reshape(-1, *(shape if axes == 3 else (1, *shape)))
        levels = self._unit * sigma.to(images).expand(batch).reshape(-1)
        denoised = self._denoise(images, levels)
        if denoised.shape != images.shape:
            raise ValueError(
                f"adapter: expected {tuple(images.shape)} from the denoiser, "
                f"got {tuple(denoised.shape)}"
            )
        self.num_calls += len(images)
        return denoised.reshape(x.shape).to(x)

    def _denoise(self, images: Tensor, levels: Tensor) -> Tensor:
        if self.per_image_sigma:
            return self.call(images, levels)
        if not len(images):
            return images
        unique, group = torch.unique(levels, return_inverse=True)
        if len(unique) == 1:
            return self.call(images, float(unique[0]))
        members = [(group == i).nonzero()[:, 0] for i in range(len(unique))]
        parts = [
            self.call(images[rows], float(level))
            for rows, level in zip(members, unique, strict=True)
        ]
        return torch.cat(parts)[torch.cat(members).argsort()]
