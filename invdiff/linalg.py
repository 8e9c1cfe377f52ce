"""Iterative solvers, batched: every problem has its own step sizes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = [
    "NumericalWarning",
    "cg_iterates",
    "conjugate_gradient",
    "expand_right",
    "inner",
    "operator_norm",
    "ratio",
]


class NumericalWarning(RuntimeWarning):
    """An iteration ended before it reached its tolerance."""


def inner(u: Tensor, v: Tensor, num_dims: int) -> Tensor:
    """Return Re <u, v> over the last ``num_dims`` axes, which are kept with length 1."""
    product = (u.conj() * v).real if u.is_complex() else u * v
    return product.sum(dim=tuple(range(-num_dims, 0)), keepdim=True)


def expand_right(v: Tensor, num_dims: int) -> Tensor:
    """Append ``num_dims`` axes of length 1, so that a batch of scalars scales a batch of images.

    A 0-dimensional v, one scalar for all, stays as it is: in float64 it leaves float32 images so.
    """
    if v.ndim == 0:
        return v
    return v.reshape(*v.shape, *(1,) * num_dims)


def conjugate_gradient(
    matrix: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    start: Tensor | None = None,
    num_dims: int,
    num_steps: int,
    tolerance: float = 0.0,
) -> Tensor:
    r"""Solve M x = b for a Hermitian positive definite map (Hestenes and Stiefel 1952).

    Args:
        matrix: Applies M to ``(*batch, *image)``.
        b: Right-hand sides of that shape.
        start: First iterate, zero by default.
        num_dims: Number of trailing axes that make one vector.
        num_steps: At most so many products with M, besides the one with the start.
        tolerance: The iteration ends when :math:`\|M x - b\| \le` tolerance :math:`\|b\|` for
            every problem, and warns if it never does. 0: all steps are made, nothing is checked
            and the host never waits for the device.

    Warns:
        NumericalWarning: The tolerance was not reached in ``num_steps``.
    """
    iterates = cg_iterates(matrix, b, start=start, num_dims=num_dims)
    x, squared = next(iterates)
    bound = tolerance**2 * inner(b, b, num_dims)
    for _ in range(num_steps):
        if tolerance > 0 and bool((squared <= bound).all()):
            return x
        x, squared = next(iterates)
    if tolerance > 0 and bool((squared > bound).any()):
        worst = (squared / inner(b, b, num_dims)).max().sqrt().item()
        warnings.warn(
            f"conjugate_gradient: residual {worst:.1e} > {tolerance:.1e} after {num_steps} steps",
            NumericalWarning,
            stacklevel=2,
        )
    return x


def cg_iterates(
    matrix: Callable[[Tensor], Tensor], b: Tensor, *, start: Tensor | None = None, num_dims: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each iterate with its squared residual norm, the start first; without end.

    Args:
        matrix: Applies M to ``(*batch, *image)``.
        b: Right-hand sides of that shape.
        start: First iterate, zero by default.
        num_dims: Number of trailing axes that make one vector.
    """
    x = torch.zeros_like(b) if start is None else start
    r = b if start is None else b - matrix(x)
    p, rr = r, inner(r, r, num_dims)
    while True:
        yield x, rr
        q = matrix(p)
        # a problem that is solved already has r = p = 0: its step is 0 / 0, and must be 0
        step = ratio(rr, inner(p, q, num_dims))
        x, r = x + step * p, r - step * q
        last, rr = rr, inner(r, r, num_dims)
        p = r + ratio(rr, last) * p


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """Return a / b where b > 0, and 0 elsewhere."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 0.0)


def operator_norm(
    normal: Callable[[Tensor], Tensor], start: Tensor, *, num_dims: int, num_steps: int = 30
) -> Tensor:
    r"""Estimate the largest singular value of A by power iteration on A^H A, from below.

    Args:
        normal: Applies A^H A.
        start: A random vector ``(*batch, *image)``.
        num_dims: Number of trailing axes that make one vector.
        num_steps: Products with A^H A.

    Returns:
        :math:`\|A\|`, shape ``(*batch, 1, ..., 1)``.
    """
    v, norm = start, inner(start, start, num_dims).sqrt()
    for _ in range(num_steps):
        v = normal(v / norm)
        norm = inner(v, v, num_dims).sqrt()
    return norm.sqrt()
