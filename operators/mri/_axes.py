"""Which axes of a Cartesian mask are readouts, and the order in which axes are transformed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AxisOrder:
    """Readouts first, then frames and phase encodings: the framed order.

    Lines are what is left of the last two kinds where only the sampled places are kept: one axis
    behind the readouts.

    Args:
        readouts: Axes along which the mask is constant, fully sampled where it is at all.
        others: The frame axes and then the phase-encoding axes.
        num_frame_axes: How many of the others are not transformed.
    """

    readouts: tuple[int, ...]
    others: tuple[int, ...]
    num_frame_axes: int

    @classmethod
    def of(cls, mask: Tensor, num_frame_axes: int) -> AxisOrder:
        """Find the readouts of a mask whose leading axes are frames."""
        constant = [
            axis
            for axis in range(num_frame_axes, mask.ndim)
            if torch.equal(mask, mask.narrow(axis, 0, 1).expand_as(mask))
        ]
        # of a mask that is constant throughout, one axis is encoded: lines need an axis
        readouts = constant[:-1] if len(constant) == mask.ndim - num_frame_axes else constant
        others = tuple(axis for axis in range(mask.ndim) if axis not in readouts)
        return cls(tuple(readouts), others, num_frame_axes)

    @property
    def ndim(self) -> int:
        """Number of axes of x."""
        return len(self.readouts) + len(self.others)

    @property
    def spatial_dims(self) -> tuple[int, ...]:
        """Transformed axes of x, counted from the end."""
        return tuple(range(self.num_frame_axes - self.ndim, 0))

    @property
    def encoded_dims(self) -> tuple[int, ...]:
        """Phase-encoding axes of a framed tensor, counted from the end."""
        return tuple(range(self.num_frame_axes - len(self.others), 0))

    @property
    def readout_dims(self) -> tuple[int, ...]:
        """Readout axes of lines, counted from the end."""
        return tuple(range(-1 - len(self.readouts), -1))

    @property
    def contiguous(self) -> bool:
        """Whether no readout lies between the others, so that one move gives row-major order."""
        return self.others[-1] - self.others[0] == len(self.others) - 1

    @property
    def line_dim(self) -> int:
        """Where the axis of lines belongs among the readouts, counted from the end."""
        return sum(axis < self.others[0] for axis in self.readouts) - 1 - len(self.readouts)

    def framed(self, x: Tensor) -> Tensor:
        """Put the trailing axes into the framed order."""
        return x.movedim(self._sources, tuple(range(-self.ndim, 0)))

    def unframed(self, image: Tensor) -> Tensor:
        """Put the trailing axes back into the order of x."""
        return image.movedim(tuple(range(-self.ndim, 0)), self._sources)

    def row_major_order(self, mask: Tensor, lines: Tensor) -> Tensor:
        """Return where each sampled entry of the mask is found in flattened lines."""
        framed = self.framed(mask)
        readouts = framed.shape[: len(self.readouts)]
        places = torch.zeros(framed.shape, dtype=torch.int64, device=mask.device)
        numbers = torch.arange(mask.count_nonzero().item(), device=mask.device)
        flat = places.flatten(len(readouts))
        flat[..., lines] = numbers.reshape(*readouts, -1)
        return self.unframed(flat.reshape(framed.shape))[mask]

    @property
    def _sources(self) -> tuple[int, ...]:
        return tuple(axis - self.ndim for axis in (*self.readouts, *self.others))
