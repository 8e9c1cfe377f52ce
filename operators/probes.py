"""Random vectors, the dot test and the dense matrix of an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from operators.base import LinearOperator


def random_input(
    operator: LinearOperator,
    generator: torch.Generator,
    dtype: torch.dtype,
    batch: Sequence[int] = (),
) -> Tensor:
    """Draw a standard normal x of shape ``(*batch, *in_shape)``, on the operator's device.

    Args:
        operator: The operator that x is for.
        generator: Source of the draw.
        dtype: Real dtype; x is complex of that precision where the operator's input is.
        batch: Leading dimensions.
    """
    shape = (*batch, *operator.in_shape)
    return _draw(operator, shape, operator.in_complex, generator, dtype)


def random_output(
    operator: LinearOperator,
    generator: torch.Generator,
    dtype: torch.dtype,
    batch: Sequence[int] = (),
) -> Tensor:
    """Draw a standard normal y of shape ``(*batch, *out_shape)``; arguments as random_input."""
    return random_input(operator.H, generator, dtype, batch)


def dot_test(
    operator: LinearOperator,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> float:
    r"""Return how far the adjoint is from exact, for one random x and y.

    .. math:: |\langle A x, y \rangle - \langle x, A^H y \rangle| \, / \, (\|A x\| \, \|y\|)

    Both complex: the complex inner product; otherwise its real part. Rounding leaves less than
    1e-10 in float64 and 1e-6 in float32.
    """
    x = random_input(operator, generator, dtype)
    y = random_output(operator, generator, dtype)
    forward = operator(x)
    left, right = torch.sum(forward.conj() * y), torch.sum(x.conj() * operator.adjoint(y))
    if not (operator.in_complex and operator.out_complex):
        left, right = left.real, right.real
    scale = torch.linalg.vector_norm(forward) * torch.linalg.vector_norm(y)
    return ((left - right).abs() / scale.clamp_min(torch.finfo(dtype).tiny)).item()


def to_dense(operator: LinearOperator, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the matrix of a small operator, (numel of y, numel of x).

    Args:
        operator: Any operator but a complex to real one, which is not complex linear.
        dtype: Real dtype of the probes; the matrix is complex where x or y is.

    Raises:
        ValueError: If the operator maps complex x to real y.
    """
    if operator.in_complex and not operator.out_complex:
        raise ValueError(f"to_dense: {type(operator).__name__} is complex to real, has no matrix")
    size = torch.Size(operator.in_shape).numel()
    probes = torch.eye(size, dtype=dtype, device=_device(operator))
    if operator.in_complex:
        probes = probes.to(dtype.to_complex())
    return operator(probes.reshape(size, *operator.in_shape)).reshape(size, -1).mT


def _device(operator: LinearOperator) -> torch.device:
    buffer = next(operator.buffers(), None)
    return torch.device("cpu") if buffer is None else buffer.device


def _draw(
    operator: LinearOperator,
    shape: Sequence[int],
    is_complex: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Tensor:
    dtype = dtype.to_complex() if is_complex else dtype
    draw = torch.randn(tuple(shape), generator=generator, dtype=dtype, device=generator.device)
    return draw.to(_device(operator))
