"""What every nonlinear operator must obey, for the tests here and for operators of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators.nonlinear import NonlinearOperator
from operators.testing import TOLERANCES, check_operator, require, require_equal

if TYPE_CHECKING:
    from collections.abc import Callable

    Law = Callable[[NonlinearOperator, torch.Generator, torch.dtype], None]

__all__ = ["NONLINEAR_LAWS", "check_nonlinear_operator"]

# of a central difference in float64: step^2 times the third derivative, and rounding over the step
_STEP = 1e-5
DIFFERENCE_TOLERANCE = 1e-6


def check_nonlinear_operator(
    operator: NonlinearOperator,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> None:
    """Check every law of nonlinear operators.

    Args:
        operator: Operator on the generator's device, differentiable at almost every x.
        generator: Source of the random vectors.
        dtype: torch.float64 or torch.float32.

    Raises:
        AssertionError: Naming the operator and the first law it breaks.
    """
    for law in NONLINEAR_LAWS:
        law(operator, generator, dtype)


def shapes_and_dtypes(
    operator: NonlinearOperator, generator: torch.Generator, dtype: torch.dtype
) -> None:
    """F(x), J v and J^T w have their shape and kind, in the precision of the input."""
    x, v, w = _vectors(operator, generator, dtype, (2, 3))
    for result, like in ((operator(x), w), (operator.jvp(x, v), w), (operator.vjp(x, w), x)):
        same = (result.shape, result.dtype) == (like.shape, like.dtype)
        require(same, operator, "shapes_and_dtypes", f"{result.dtype} {tuple(result.shape)}")


def finite_differences(
    operator: NonlinearOperator, generator: torch.Generator, dtype: torch.dtype
) -> None:
    """J v is the central difference quotient along v; in float64."""
    x, v, _ = _vectors(operator, generator, torch.float64)
    quotient = (operator(x + _STEP * v) - operator(x - _STEP * v)) / (2 * _STEP)
    actual = operator.jvp(x, v)
    require_equal(operator, "finite_differences", actual, quotient, DIFFERENCE_TOLERANCE)


def transposition(
    operator: NonlinearOperator, generator: torch.Generator, dtype: torch.dtype
) -> None:
    """<J v, w> = <v, J^T w> with the real inner product."""
    x, v, w = _vectors(operator, generator, dtype)
    forward, backward = operator.jvp(x, v), operator.vjp(x, w)
    left, right = (forward.conj() * w).sum().real, (v.conj() * backward).sum().real
    scale = torch.linalg.vector_norm(forward) * torch.linalg.vector_norm(w)
    error = ((left - right).abs() / scale).item()
    require(error <= TOLERANCES[dtype], operator, "transposition", f"error {error:.1e}")


def gradients(operator: NonlinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """J^T w is what autograd finds through F."""
    x, _, w = _vectors(operator, generator, dtype, (2,))
    x = x.requires_grad_()
    (gradient,) = torch.autograd.grad(operator(x), x, w)
    require_equal(operator, "gradients", operator.vjp(x.detach(), w), gradient)


def jacobians(operator: NonlinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """J(x) is a linear operator and obeys the laws of those."""
    x, v, w = _vectors(operator, generator, dtype)
    jacobian = operator.linearised(x)
    check_operator(jacobian, generator=generator, dtype=dtype)
    require_equal(operator, "jacobians", jacobian(v), operator.jvp(x, v))
    require_equal(operator, "jacobians", jacobian.adjoint(w), operator.vjp(x, w))


def batching(operator: NonlinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """Leading dimensions go through as a loop over them would."""
    x, v, w = _vectors(operator, generator, dtype, (3,))
    looped = torch.stack([operator(a) for a in x])
    require_equal(operator, "batching", operator(x), looped)
    looped = torch.stack([operator.jvp(a, b) for a, b in zip(x, v, strict=True)])
    require_equal(operator, "batching", operator.jvp(x, v), looped)
    looped = torch.stack([operator.vjp(a, b) for a, b in zip(x, w, strict=True)])
    require_equal(operator, "batching", operator.vjp(x, w), looped)


def refusals(operator: NonlinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """Wrong shapes, and real for complex or the other way round, raise ValueError."""
    x, v, w = _vectors(operator, generator, dtype)
    calls = (
        (x, operator.forward),
        (x, operator.linearised),
        (x, lambda bad: operator.jvp(bad, v)),
        (v, lambda bad: operator.jvp(x, bad)),
        (w, lambda bad: operator.vjp(x, bad)),
    )
    for good, call in calls:
        other_kind = good.real if good.is_complex() else good.to(dtype.to_complex())
        too_long = torch.cat([good, good.narrow(-1, 0, 1)], dim=-1)
        for what, bad in (("shape", too_long), ("kind", other_kind)):
            try:
                call(bad)
            except ValueError:
                continue
            require(False, operator, "refusals", f"took an input of the wrong {what}")


NONLINEAR_LAWS: tuple[Law, ...] = (
    shapes_and_dtypes,
    finite_differences,
    transposition,
    gradients,
    jacobians,
    batching,
    refusals,
)


def _vectors(
    operator: NonlinearOperator,
    generator: torch.Generator,
    dtype: torch.dtype,
    batch: tuple[int, ...] = (),
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw x, a direction v of it and a w in the space of F(x)."""

    def draw(shape: tuple[int, ...], is_complex: bool) -> Tensor:
        kind = dtype.to_complex() if is_complex else dtype
        return torch.randn((*batch, *shape), generator=generator, dtype=kind, device=device)

    device = generator.device
    x, v = (draw(operator.in_shape, operator.in_complex) for _ in range(2))
    return x, v, draw(operator.out_shape, operator.out_complex)
