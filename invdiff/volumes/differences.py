"""Differences between neighbouring slices, of volumes that may be split."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.volumes.memory import groups, part
from invdiff.volumes.split import Split

__all__ = ["add_z_normal", "z_difference_adjoint", "z_differences", "z_normal"]

_Z = -3


def z_differences(x: Tensor, split: Split, *, out: Tensor | None = None) -> Tensor:
    r"""Return :math:`(D_z x)_k = x_{k+1} - x_k`, zero for the last slice of the volume.

    Args:
        x: Shape ``(*batch, count, rows, columns)``, the slices that are held here.
        split: Which these are.
        out: Where the result goes; another tensor than x.
    """
    out, inner = torch.empty_like(x) if out is None else out, x.shape[_Z] - 1
    torch.sub(x.narrow(_Z, 1, inner), x.narrow(_Z, 0, inner), out=out.narrow(_Z, 0, inner))
    behind, last = split.after(x), out.narrow(_Z, inner, 1)
    if behind is None:
        last.zero_()
    else:
        torch.sub(behind, x.narrow(_Z, inner, 1), out=last)
    return out


def z_difference_adjoint(d: Tensor, split: Split, *, out: Tensor | None = None) -> Tensor:
    r"""Return :math:`(D_z^T d)_k = d_{k-1} - d_k`, without the last difference, which is none.

    Args:
        d: Shape ``(*batch, count, rows, columns)``, the slices that are held here.
        split: Which these are.
        out: Where the result goes; another tensor than d.
    """
    out, inner = torch.empty_like(d) if out is None else out, d.shape[_Z] - 1
    ahead, first = split.before(d), out.narrow(_Z, 0, 1)
    if ahead is None:
        first.zero_()
    else:
        first.copy_(ahead)
    out.narrow(_Z, 1, inner).copy_(d.narrow(_Z, 0, inner))
    own = d.shape[_Z] if split.first + split.count < split.total else inner
    out.narrow(_Z, 0, own).sub_(d.narrow(_Z, 0, own))
    return out


def z_normal(x: Tensor, split: Split) -> Tensor:
    """Return :math:`D_z^T D_z x`."""
    return add_z_normal(torch.zeros_like(x), x, x.real.new_ones(()), split)


def add_z_normal(out: Tensor, x: Tensor, weight: Tensor, split: Split) -> Tensor:
    r"""Add :math:`b D_z^T D_z x` to a vector in place, without a temporary of its size.

    Args:
        out: Shape of x.
        x: Shape ``(*batch, count, rows, columns)``, the slices that are held here.
        weight: b, 0-dimensional, or one a slice with two more axes.
        split: Which these are.
    """
    total = x.shape[_Z]
    behind, ahead = split.after(x), split.before(x)

    def add(d: Tensor, first: int, sign: int) -> None:
        count = d.shape[_Z]
        own = part(weight, first, count, total)
        out.narrow(_Z, first, count).addcmul_(d, own, value=sign)

    for first, count in groups(x):
        count = min(count, total - 1 - first)  # the last slice has no difference here
        d = x.narrow(_Z, first + 1, count) - x.narrow(_Z, first, count)
        add(d, first, -1)
        add(d, first + 1, 1)
    if behind is not None:
        add(behind - x.narrow(_Z, total - 1, 1), total - 1, -1)
    if ahead is not None:
        add(x.narrow(_Z, 0, 1) - ahead, 0, 1)
    return out
