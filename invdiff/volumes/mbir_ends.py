"""Differences between slices with a choice of what is behind the last slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invdiff.volumes.differences import z_difference_adjoint, z_differences
from invdiff.volumes.split import Split

__all__ = ["Ends", "SliceDifferences"]

Ends = Literal["neumann", "periodic"]

_Z = -3


@dataclass(frozen=True)
class SliceDifferences:
    r"""The map :math:`(D_z x)_k = x_{k+1} - x_k` of volumes ``(*batch, count, rows, columns)``.

    Args:
        split: Slices that are held here.
        ends: "neumann": no difference behind the last slice; "periodic": the first slice is behind
            the last one, as if the body were a ring.
    """

    split: Split
    ends: Ends = "neumann"

    def forward(self, x: Tensor) -> Tensor:
        """Return D_z x."""
        if self.ends == "neumann":
            return z_differences(x, self.split)
        # a sum over all parts, which every part must take part in
        first = self._shared(x.narrow(_Z, 0, 1), self.split.first == 0)
        behind = self.split.after(x)
        return torch.diff(x, dim=_Z, append=first if behind is None else behind)

    def adjoint(self, d: Tensor) -> Tensor:
        """Return D_z^T d."""
        if self.ends == "neumann":
            return z_difference_adjoint(d, self.split)
        is_end = self.split.first + self.split.count == self.split.total
        last = self._shared(d.narrow(_Z, d.shape[_Z] - 1, 1), is_end)
        ahead = self.split.before(d)
        return -torch.diff(d, dim=_Z, prepend=last if ahead is None else ahead)

    def normal(self, x: Tensor) -> Tensor:
        """Return D_z^T D_z x."""
        return self.adjoint(self.forward(x))

    def _shared(self, one: Tensor, is_mine: bool) -> Tensor:
        """Return the slice of the part that says it is its own, on all parts."""
        return self.split.all_sum(one if is_mine else torch.zeros_like(one))
