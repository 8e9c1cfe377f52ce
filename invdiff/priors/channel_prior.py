"""A prior of two channels as one of complex images."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser

__all__ = ["ChannelPrior"]


class ChannelPrior:
    r"""z = u + i v, for a prior that knows (u, v) as two channels.

    .. math:: D(z, \sigma) = D_u((u, v), \sigma) + i\, D_v((u, v), \sigma)

    The noise has standard deviation sigma in the real and in the imaginary part, as for
    ``ComplexPrior``; the phase is the prior's to know.

    Args:
        channels: The denoiser of (u, v), of images ``(2, height, width)``; its range is that of
            each channel and symmetric, [-a, a].

    Attributes:
        data_range: That of the magnitude, [0, a].
        image_shape: ``(height, width)``.

    Raises:
        ValueError: Another number of channels, or a range that isn't symmetric.
    """

    def __init__(self, channels: Denoiser) -> None:
        shape = channels.image_shape
        if shape is None or len(shape) != 3 or shape[0] != 2:
            raise ValueError(f"ChannelPrior: expected images (2, height, width), got {shape}")
        low, high = channels.data_range
        if low != -high:
            raise ValueError(f"ChannelPrior: expected a data_range [-a, a], got [{low}, {high}]")
        self.channels = channels
        self.data_range, self.image_shape = (0.0, high), shape[1:]

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean for complex x ``(*batch, *image)``; sigma is 0-dimensional or ``batch``.

        Raises:
            ValueError: x is real.
        """
        if not x.is_complex():
            raise ValueError(f"ChannelPrior: expected complex images, got {x.dtype}")
        mean = self.channels(torch.stack([x.real, x.imag], dim=-3), sigma)
        return torch.complex(*mean.unbind(-3))
