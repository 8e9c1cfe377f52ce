"""Slices of a gap given the slice before it, or the one behind it."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser
from invdiff.volumes.pinned import KnownSlices, PinnedSlices

__all__ = ["OneEnd"]

_Z = -3


class OneEnd:
    r"""A prior of the slices of a gap given the slice at one end of it.

    .. math:: D(x, \sigma)_k = E[x_{0,k} \mid x_{0,0} = v, \; x_{0,i} + \sigma n_i = x_i],
        \qquad i, k = 1, \dots, n

    A network that continues a volume (or a video) from its first slice is one. With ``reverse`` the
    slice is the one behind the gap: the chain runs backwards, which is the same prior only if the
    chain looks the same in both directions, as a stationary Gaussian one does.

    Args:
        chain: Prior of n + 1 slices with a noise level for each, such as ``AR1VolumePrior``.
        end: v, shape ``(*batch, rows, columns)``, broadcasting against the samples.
        reverse: Whether the end is behind the gap.

    Attributes:
        image_shape: (n, rows, columns).
        data_range: Of the chain.

    Raises:
        ValueError: The chain is not one of two slices or more, or its slices have another shape.
    """

    def __init__(self, chain: Denoiser, end: Tensor, *, reverse: bool = False) -> None:
        shape = chain.image_shape
        if shape is None or len(shape) != 3 or shape[0] < 2 or tuple(end.shape[-2:]) != shape[1:]:
            raise ValueError(
                f"OneEnd: expected a chain of two slices or more like the end "
                f"{tuple(end.shape)}, got {shape}"
            )
        self.image_shape: tuple[int, ...] = (shape[0] - 1, *shape[1:])
        self.data_range = chain.data_range
        self._reverse = reverse
        first = torch.arange(shape[0]) == 0
        values = torch.where(first[:, None, None].to(end.device), end.unsqueeze(_Z), 0.0)
        self._pinned = PinnedSlices(chain, KnownSlices(first, values))

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean of the slices of the gap.

        Args:
            x: Shape ``(*batch, n, rows, columns)``, in the order of the volume.
            sigma: 0-dimensional, or one for each volume.

        Raises:
            ValueError: Volumes of another size.
        """
        if x.shape[_Z:] != self.image_shape:
            raise ValueError(f"OneEnd: expected volumes {self.image_shape}, got {tuple(x.shape)}")
        away = x.flip(_Z) if self._reverse else x
        mean = self._pinned(torch.cat([away[..., :1, :, :], away], dim=_Z), sigma)
        mean = mean[..., 1:, :, :]
        return mean.flip(_Z) if self._reverse else mean
