"""Differences between neighbouring slices, of volumes that may be split."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.volumes.split import Split

__all__ = ["z_difference_adjoint", "z_differences", "z_normal"]

_Z = -3


def z_differences(x: Tensor, split: Split) -> Tensor:
    r"""Return :math:`(D_z x)_k = x_{k+1} - x_k`, zero for the last slice of the volume.

    Args:
        x: Shape ``(*batch, count, rows, columns)``, the slices that are held here.
        split: Which these are.
    """
    behind = split.after(x)
    if behind is None:
        behind = x.narrow(_Z, x.shape[_Z] - 1, 1)
    return torch.diff(x, dim=_Z, append=behind)


def z_difference_adjoint(d: Tensor, split: Split) -> Tensor:
    r"""Return :math:`(D_z^T d)_k = d_{k-1} - d_k`, without the last difference, which is none."""
    ahead = split.before(d)
    if ahead is None:
        ahead = torch.zeros_like(d.narrow(_Z, 0, 1))
    if split.first + split.count == split.total:
        last = torch.zeros_like(d.narrow(_Z, 0, 1))
        d = torch.cat([d.narrow(_Z, 0, d.shape[_Z] - 1), last], dim=_Z)
    return -torch.diff(d, dim=_Z, prepend=ahead)


def z_normal(x: Tensor, split: Split) -> Tensor:
    """Return :math:`D_z^T D_z x`."""
    return z_difference_adjoint(z_differences(x, split), split)
