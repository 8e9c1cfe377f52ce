"""A small network that tells from a noisy image which expert it is for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invdiff.linalg import expand_right

__all__ = ["RouterNetwork", "RouterSettings"]

# waves of the logarithm of the noise level
_NUM_WAVES = 8


@dataclass(frozen=True)
class RouterSettings:
    """What a router is made of.

    Args:
        num_experts: K, at least 2.
        image_shape: ``(n,)`` for vectors, ``(height, width)`` or ``(channel, height, width)``. Rows
            and columns of images are free: the network takes other sizes, too.
        width: Channels or hidden units.
        depth: Layers; for images each halves rows and columns.
        sigma_data: Standard deviation of the data.

    Raises:
        ValueError: A number out of its range.
    """

    num_experts: int
    image_shape: tuple[int, ...]
    width: int = 32
    depth: int = 4
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_shape", tuple(self.image_shape))
        if self.num_experts < 2 or self.depth < 1 or self.width < 1:
            raise ValueError(
                f"RouterSettings: expected num_experts >= 2, depth >= 1 and width >= 1, "
                f"got {self.num_experts}, {self.depth} and {self.width}"
            )
        if len(self.image_shape) not in (1, 2, 3) or min(self.image_shape) < 1:
            raise ValueError(
                f"RouterSettings: expected an image_shape of 1 to 3 axes, got {self.image_shape}"
            )
        if len(self.image_shape) > 1 and min(self.image_shape[-2:]) < 2**self.depth:
            raise ValueError(
                f"RouterSettings: {self.depth} halvings need at least {2**self.depth} rows and "
                f"columns, got {self.image_shape}"
            )
        if not 0 < self.sigma_data < math.inf:
            raise ValueError(f"RouterSettings: expected sigma_data > 0, got {self.sigma_data}")


class RouterNetwork(nn.Module):
    r"""A classifier of noisy images, the learned ``Router``.

    Trained by cross entropy it tends to :math:`p(k | x, \sigma)` :cite:p:`mcallister2025`. It sees
    :math:`x / \sqrt{\sigma^2 + \sigma_d^2}` and waves of :math:`\ln \sigma`: convolutions and a
    mean over the image, or a perceptron for vectors.

    Args:
        settings: Its shapes.
    """

    def __init__(self, settings: RouterSettings) -> None:
        super().__init__()
        self.settings = settings
        width, shape = settings.width, settings.image_shape
        self.level = nn.Sequential(nn.Linear(2 * _NUM_WAVES, width), nn.SiLU())
        widths = [shape[0] if len(shape) != 2 else 1, *[width] * settings.depth]
        self.layers = nn.ModuleList(
            _Layer(before, width, len(shape) > 1) for before in widths[: settings.depth]
        )
        self.head = nn.Linear(width, settings.num_experts)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return log p(k | x, sigma), ``(*batch, K)``, for x ``(*batch, *image)``.

        Args:
            x: Real.
            sigma: 0-dimensional or ``batch``.

        Raises:
            ValueError: Images of other axes or channels.
        """
        batch, flat = self._flat(x)
        weight = self.head.weight
        levels = sigma.to(weight).expand(batch).reshape(-1)
        total = (levels**2 + self.settings.sigma_data**2).sqrt()
        hidden = flat.to(weight) / expand_right(total, flat.ndim - 1)
        level = self.level(_waves(levels))
        for layer in self.layers:
            hidden = layer(hidden, level)
        pooled = hidden.flatten(2).mean(-1) if hidden.ndim > 2 else hidden
        return self.head(pooled).log_softmax(-1).reshape(*batch, -1).to(x.dtype)

    def _flat(self, x: Tensor) -> tuple[torch.Size, Tensor]:
        shape = self.settings.image_shape
        # rows and columns may be others
        fixed = shape[: len(shape) - 2] if len(shape) > 1 else shape
        split = x.ndim - len(shape)
        if split < 0 or x.shape[split : split + len(fixed)] != fixed or x.is_complex():
            raise ValueError(f"router: expected real images like {shape}, got {tuple(x.shape)}")
        image = x.shape[split:] if len(shape) != 2 else (1, *x.shape[split:])
        return x.shape[:split], x.reshape(-1, *image)


class _Layer(nn.Module):
    """A linear map or a convolution, with a factor and a shift by the noise level."""

    def __init__(self, before: int, width: int, image: bool) -> None:
        super().__init__()
        self.map: nn.Module = (
            nn.Conv2d(before, width, 4, stride=2, padding=1) if image else nn.Linear(before, width)
        )
        self.modulation = nn.Linear(width, 2 * width)
        self.activation = nn.SiLU()

    def forward(self, hidden: Tensor, level: Tensor) -> Tensor:
        hidden = self.map(hidden)
        modulation = expand_right(self.modulation(level), hidden.ndim - 2)
        factor, shift = modulation.chunk(2, 1)
        out: Tensor = self.activation(hidden * (1 + factor) + shift)
        return out


def _waves(sigma: Tensor) -> Tensor:
    """Return waves of ln(sigma) / 4, ``(batch, 2 * _NUM_WAVES)``."""
    octaves = 2.0 ** (torch.arange(_NUM_WAVES, device=sigma.device) / 2 - 1)
    phase = sigma.log().unsqueeze(-1) / 4 * octaves.to(sigma)
    return torch.cat([phase.sin(), phase.cos()], -1)
