"""Slices that are known: they stay at noise 0 while the others come down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser
from invdiff.volumes.slice_prior import SlicePrior

__all__ = ["KnownSlices", "PinnedSlices", "sample_in_blocks"]

_Z = -3


@dataclass(frozen=True, eq=False)
class KnownSlices:
    """Values of some slices of a volume.

    Args:
        mask: Which slices are known, boolean, shape ``(num_slices,)``.
        values: Shape ``(*batch, num_slices, rows, columns)``, broadcasting against the volumes;
            unknown slices may hold anything.

    Raises:
        ValueError: The mask is not boolean, or its length isn't the number of slices.
    """

    mask: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        mask, values = self.mask, self.values
        if mask.dtype != torch.bool or mask.ndim != 1:
            raise ValueError(
                f"KnownSlices: expected a boolean mask (num_slices,), got {mask.dtype} "
                f"{tuple(mask.shape)}"
            )
        if values.ndim < 3 or values.shape[_Z] != len(mask):
            raise ValueError(
                f"KnownSlices: expected values (*batch, {len(mask)}, rows, columns), got "
                f"{tuple(values.shape)}"
            )

    def moved(self, like: Tensor) -> KnownSlices:
        """Return the same where ``like`` is and in its dtype, so that no step has to copy them."""
        return KnownSlices(self.mask.to(like.device), self.values.to(like))

    def pin(self, x: Tensor) -> Tensor:
        """Return x with the known slices at their values."""
        mask = self.mask.to(x.device)[:, None, None]
        return torch.where(mask, self.values.to(x), x)

    def free(self, like: Tensor) -> Tensor:
        """Return 1 for the slices that are not known, 0 for the others, ``(num_slices, 1, 1)``."""
        return (~self.mask).to(like.device, like.dtype.to_real())[:, None, None]

    def levels(self, sigma: Tensor, x: Tensor) -> Tensor:
        """Return the noise level of every slice of x, 0 for those known.

        Args:
            sigma: 0-dimensional, one for each volume, or one for each slice.
            x: Shape ``(*batch, num_slices, rows, columns)``.
        """
        each = sigma.unsqueeze(-1) if sigma.ndim == x.ndim - 3 else sigma
        each = each.to(x.device, x.dtype.to_real()).expand(x.shape[:-2])
        return each.masked_fill(self.mask.to(x.device), 0.0)


class PinnedSlices:
    r"""A prior of volumes given some of their slices.

    The known slices enter the denoiser exactly and at noise 0, the others at theirs, so that

    .. math:: D(x, \sigma)_k = E[x_{0,k} \mid x_{0,j} = v_j, \; x_{0,i} + \sigma n_i = x_i],
        \qquad j \text{ known}, \; i, k \text{ not}

    is the denoiser of the conditional prior. Samplers that are exact for a denoiser are so for
    this one. Noise levels per slice are those of :cite:t:`liu2024`, here two at a time.

    Args:
        denoiser: Of whole volumes, with a noise level for each slice ``(*batch, num_slices)``.
        known: Slices and their values.

    Raises:
        ValueError: The prior has volumes of another size.
    """

    def __init__(self, denoiser: Denoiser, known: KnownSlices) -> None:
        shape, given = denoiser.image_shape, tuple(known.values.shape[-3:])
        if shape is not None and shape != given:
            raise ValueError(f"PinnedSlices: the prior has volumes {shape}, the values {given}")
        self.image_shape: tuple[int, ...] = given
        self.data_range = denoiser.data_range
        self._known = known
        # read once, so that no step waits for the device
        unknown = (~known.mask).nonzero().flatten()
        self._num_unknown = len(unknown)
        self._unknown = unknown.to(known.values.device)
        self._separate = isinstance(denoiser, SlicePrior)
        self._denoiser = (
            denoiser.resized(self._num_unknown) if isinstance(denoiser, SlicePrior) else denoiser
        )

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean of the unknown slices, and the values of those known.

        Args:
            x: Shape ``(*batch, num_slices, rows, columns)``; known slices may hold anything.
            sigma: 0-dimensional, one for each volume, or one for each slice.
        """
        x, levels = self._known.pin(x), self._known.levels(sigma, x)
        if self._num_unknown == 0:
            return x
        if not self._separate:
            return self._known.pin(self._denoiser(x, levels))
        # slices that don't see each other: those known need no network
        index = self._unknown.to(x.device)
        mean = self._denoiser(x.index_select(_Z, index), levels.index_select(-1, index))
        return x.index_copy(_Z, index, mean)


def sample_in_blocks(
    draw: Callable[[int, KnownSlices | None], Tensor], num_slices: int, *, window: int, overlap: int
) -> Tensor:
    r"""Draw a long volume window by window, each with its first slices pinned to the last ones.

    .. math:: p(x_1, \dots, x_n) \approx p(x_1, \dots, x_w) \prod_j
        p(x_{j+o+1}, \dots, x_{j+w} \mid x_{j+1}, \dots, x_{j+o})

    with the window w and the overlap o. Exact for chains in which a slice depends on the last o
    alone, and where the draw is; data of later windows cannot act on earlier ones.

    Args:
        draw: Returns volumes ``(samples, window, rows, columns)`` from the number of their first
            slice and what is known of them; None in the first window.
        num_slices: Of the volume.
        window: Slices that are drawn together.
        overlap: Slices that are known at least; the last window moves back to end with the volume.

    Returns:
        Shape ``(samples, num_slices, rows, columns)``.

    Raises:
        ValueError: ``0 < overlap < window <= num_slices`` doesn't hold.
    """
    if not 0 < overlap < window <= num_slices:
        raise ValueError(
            f"sample_in_blocks: expected 0 < overlap < window <= num_slices, got {overlap}, "
            f"{window} and {num_slices}"
        )
    x = draw(0, None)
    while (done := x.shape[_Z]) < num_slices:
        first = min(done - overlap, num_slices - window)
        held = done - first
        mask = torch.arange(window) < held
        before = x.narrow(_Z, first, held)
        ahead = torch.zeros_like(before.narrow(_Z, 0, 1)).expand(
            *before.shape[:_Z], window - held, *before.shape[-2:]
        )
        known = KnownSlices(mask, torch.cat([before, ahead], dim=_Z))
        x = torch.cat([x, draw(first, known).narrow(_Z, held, window - held)], dim=_Z)
    return x
