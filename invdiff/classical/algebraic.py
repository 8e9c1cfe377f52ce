"""Algebraic reconstruction: a fixed number of steps towards least squares."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right, inner, ratio
from operators import LinearOperator

__all__ = ["cgls", "sirt"]

_ROUNDING = 10.0  # units of the last place


def sirt(
    likelihood: Likelihood,
    *,
    num_steps: int = 100,
    relaxation: float = 1.0,
    low: float | None = None,
    high: float | None = None,
    start: Tensor | None = None,
) -> Tensor:
    r"""Make steps of the simultaneous iterative reconstruction technique.

    .. math:: x \leftarrow P\left(x + \lambda\, C A^T R (t - A x)\right), \qquad
        R = \frac{1}{A 1}, \quad C = \frac{1}{A^T 1}

    which tends to the least squares weighted by R, whatever the noise (:cite:t:`gregor2008`).
    P keeps the bounds. The norm of the step's matrix is at most 1, so no norm is needed.

    Args:
        likelihood: One problem or a batch, of an operator with non-negative entries, such as a CT
            projector; the noise model only turns counts into line integrals.
        num_steps: Steps; few of them smooth the image.
        relaxation: lambda, within (0, 2).
        low: Lower bound of x, such as 0 for attenuation.
        high: Upper bound of x.
        start: First image, zero by default, ``(*problems, *image_shape)``.

    Returns:
        Images, shape ``(*problems, *image_shape)``.

    Raises:
        ValueError: The operator is complex or has negative sums of rows or columns, or a number is
            out of its range.
    """
    if num_steps < 0 or not 0 < relaxation < 2:
        raise ValueError(
            f"sirt: expected num_steps >= 0 and relaxation within (0, 2), got {num_steps} and "
            f"{relaxation}"
        )
    operator, x = likelihood.operator, _first(likelihood, start)
    row_sums, column_sums = _sums(operator, x)
    one = x.new_ones(())
    row_weights = ratio(one, row_sums)
    column_weights = relaxation * ratio(one, column_sums)
    bounded = (low, high) != (None, None)
    for _ in range(num_steps):
        x = x + column_weights * operator.adjoint(row_weights * likelihood.residual(x))
        x = x.clamp(low, high) if bounded else x
    return x


def cgls(likelihood: Likelihood, *, num_steps: int = 20, start: Tensor | None = None) -> Tensor:
    r"""Make steps of conjugate gradients on :math:`\|t - A x\|_W^2` in its factored form.

    In exact arithmetic the iterates are those of
    :func:`~invdiff.classical.least_squares.least_squares`, which stops at the noise level. Here
    the residual t - A x itself is kept up to date (:cite:t:`bjorck1996`, section 7.4), not that of
    the normal equations, and so the error does not stall at the square of the condition number.

    Args:
        likelihood: One problem or a batch; real or complex.
        num_steps: Steps, each with one product with A and one with its adjoint. On noisy data the
            error falls and then grows again: the number of steps is the regularisation.
        start: First image, zero by default, ``(*problems, *image_shape)``.

    Returns:
        Images, shape ``(*problems, *image_shape)``.

    Raises:
        ValueError: A negative number of steps.
    """
    if num_steps < 0:
        raise ValueError(f"cgls: expected num_steps >= 0, got {num_steps}")
    return next(islice(_cgls_iterates(likelihood, _first(likelihood, start)), num_steps, None))


def _cgls_iterates(likelihood: Likelihood, x: Tensor) -> Iterator[Tensor]:
    operator, weight = likelihood.operator, likelihood.precision
    in_dims, out_dims = len(operator.in_shape), len(operator.out_shape)
    r = likelihood.residual(x)
    p = s = operator.adjoint(weight * r)
    ss, squared_norm = inner(s, s, in_dims), torch.zeros_like(inner(s, s, in_dims))
    while True:
        yield x
        q = operator(p)
        qq = expand_right(inner(q, weight * q, out_dims).flatten(-out_dims)[..., 0], in_dims)
        rr = expand_right(inner(r, weight * r, out_dims).flatten(-out_dims)[..., 0], in_dims)
        squared_norm = torch.maximum(squared_norm, ratio(qq, inner(p, p, in_dims)))
        # A^H W r is uncertain by this: smaller ones are noise, which further steps would let grow
        floor = (_ROUNDING * torch.finfo(qq.dtype).eps) ** 2 * squared_norm * rr
        step = ratio(torch.where(ss > floor, ss, 0.0), qq)
        x = x + step * p
        r = r - expand_right(step.flatten(-in_dims)[..., 0], out_dims) * q
        s = operator.adjoint(weight * r)
        last, ss = ss, inner(s, s, in_dims)
        p = s + ratio(ss, last) * p


def _first(likelihood: Likelihood, start: Tensor | None) -> Tensor:
    x = torch.zeros_like(likelihood.weighted_adjoint)
    if start is None:
        return x
    if start.shape != x.shape:
        raise ValueError(f"start: expected shape {tuple(x.shape)}, got {tuple(start.shape)}")
    return start


def _sums(operator: LinearOperator, like: Tensor) -> tuple[Tensor, Tensor]:
    name = type(operator).__name__
    if operator.in_complex or operator.out_complex:
        raise ValueError(f"sirt: expected a real operator, got {name}")
    rows = operator(like.new_ones(operator.in_shape))
    columns = operator.adjoint(like.new_ones(operator.out_shape))
    if not (bool((rows >= 0).all()) and bool((columns >= 0).all())):
        raise ValueError(f"sirt: expected an operator with non-negative entries, got {name}")
    return rows, columns
