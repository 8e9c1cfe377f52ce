"""What every operator must obey, for the tests here and for operators of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from operators.base import LinearOperator, ShapedModule, SVDOperator
from operators.probes import dot_test, random_input, random_output, to_dense

if TYPE_CHECKING:
    from collections.abc import Callable

    Law = Callable[[LinearOperator, torch.Generator, torch.dtype], None]

__all__ = [
    "LAWS",
    "SVD_LAWS",
    "check_operator",
    "dot_test",
    "random_input",
    "random_output",
    "to_dense",
]

# rounding of a product over some thousand terms, relative to the norm of the result
DOT_TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-10}
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}
# the pseudo-inverse magnifies rounding by a condition number of up to 1e6
PINV_TOLERANCE = 1e-8


def check_operator(
    operator: LinearOperator,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> None:
    """Check every law that applies to the operator.

    Args:
        operator: Operator on any device, of any size (small ones are checked faster).
        generator: Source of the random vectors.
        dtype: torch.float64 or torch.float32.

    Raises:
        AssertionError: Naming the operator and the first law it breaks.
    """
    for law in LAWS + (SVD_LAWS if isinstance(operator, SVDOperator) else ()):
        law(operator, generator, dtype)


def shapes_and_dtypes(
    operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype
) -> None:
    """Outputs of A and A^H have their shape and kind, in the precision of the input."""
    name = "shapes_and_dtypes"
    for a in (operator, operator.H):
        x = random_input(a, generator, dtype, (2, 3))
        y = a(x)
        require(y.shape == (2, 3, *a.out_shape), operator, name, f"shape {tuple(y.shape)}")
        expected = dtype.to_complex() if a.out_complex else dtype
        require(y.dtype == expected, operator, name, f"{y.dtype} for a {x.dtype} input")
    normal = operator.normal(random_input(operator, generator, dtype))
    expected = dtype.to_complex() if operator.in_complex else dtype
    require(normal.dtype == expected, operator, name, f"normal gives {normal.dtype}")


def linearity(operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """A(a x + b x') = a A x + b A x', with complex factors where both sides are complex."""
    for a in (operator, operator.H):
        x1, x2 = (random_input(a, generator, dtype) for _ in range(2))
        c: complex = 0.7 - 1.3j if a.in_complex and a.out_complex else -1.3
        require_equal(operator, "linearity", a(c * x1 + 2 * x2), c * a(x1) + 2 * a(x2))


def adjointness(operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """<A x, y> = <x, A^H y>."""
    error = dot_test(operator, generator=generator, dtype=dtype)
    require(error < DOT_TOLERANCES[dtype], operator, "adjointness", f"dot test {error:.1e}")


def double_adjoint(
    operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype
) -> None:
    """A.H.H is A, and A.H is the adjoint."""
    y = random_output(operator, generator, dtype)
    require(operator.H.H is operator, operator, "double_adjoint", "A.H.H is another object")
    require_equal(operator, "double_adjoint", operator.H(y), operator.adjoint(y))


def normal(operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """A^H A, however it is computed, is the one after the other."""
    x = random_input(operator, generator, dtype, (2,))
    require_equal(operator, "normal", operator.normal(x), operator.adjoint(operator(x)))


def gradients(operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """The vector-Jacobian product is the adjoint, and its derivative is A again."""
    normal_map = (operator.normal, operator.normal, operator, operator)
    adjoint_map = (operator.adjoint, operator, operator.H, operator)
    forward_map = (operator, operator.adjoint, operator, operator.H)
    for function, transpose, takes, gives in (forward_map, adjoint_map, normal_map):
        x = random_input(takes, generator, dtype, (2,)).requires_grad_()
        y = function(x)
        v = random_input(gives, generator, dtype, (2,)).requires_grad_()
        (vjp,) = torch.autograd.grad(y, x, v, create_graph=True)
        require_equal(operator, "gradients", vjp.detach(), transpose(v.detach()))
        u = random_input(takes, generator, dtype, (2,))
        (again,) = torch.autograd.grad(vjp, v, u)
        require_equal(operator, "gradients (second order)", again, function(u))


def batching(operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """Leading dimensions go through as a loop over them would."""
    for a in (operator, operator.H):
        x = random_input(a, generator, dtype, (2, 3))
        looped = torch.stack([torch.stack([a(v) for v in row]) for row in x])
        require_equal(operator, "batching", a(x), looped)


def purity(operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """The input is not modified, and the same input gives the same output."""
    for function, takes in (
        (operator, operator),
        (operator.adjoint, operator.H),
        (operator.normal, operator),
    ):
        x = random_input(takes, generator, dtype)
        kept = x.clone()
        first = function(x).clone()
        require(torch.equal(x, kept), operator, "purity", "the input was modified")
        require(torch.equal(first, function(x)), operator, "purity", "not reproducible")


def refusals(operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """Wrong shapes, and real for complex or the other way round, raise ValueError."""
    for function, a in (
        (operator, operator),
        (operator.adjoint, operator.H),
        (operator.normal, operator),
    ):
        x = random_input(a, generator, dtype)
        other_kind = x.real if x.is_complex() else x.to(dtype.to_complex())
        too_long = torch.cat([x, x.narrow(-1, 0, 1)], dim=-1)
        for what, bad in (("shape", too_long), ("kind", other_kind), ("integers", x.real.int())):
            try:
                function(bad)
            except ValueError:
                continue
            require(False, operator, "refusals", f"took an input of the wrong {what}")


def orthonormal_factors(
    operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype
) -> None:
    """U^H U = V^H V = 1, and Uh, Vh are the adjoints of U, V."""
    if not isinstance(operator, SVDOperator):
        raise TypeError(f"{type(operator).__name__} is not an SVDOperator")
    x = random_input(operator, generator, dtype, (2,))
    y = random_output(operator, generator, dtype, (2,))
    for columns, rows, v in ((operator.V, operator.Vh, x), (operator.U, operator.Uh, y)):
        coordinates = rows(v)
        shape = coordinates.shape[1:]
        require(shape == operator.singular_values.shape, operator, "orthonormal_factors", "shape")
        z = torch.randn(
            coordinates.shape, generator=generator, dtype=coordinates.dtype, device=v.device
        )
        require_equal(operator, "orthonormal_factors", rows(columns(z)), z)
        left, right = (columns(z).conj() * v).sum().real, (z.conj() * coordinates).sum().real
        scale = torch.linalg.vector_norm(z) * torch.linalg.vector_norm(v)
        require(
            ((left - right).abs() < DOT_TOLERANCES[dtype] * scale).item(),
            operator, "orthonormal_factors", "Uh or Vh is not the adjoint",
        )  # fmt: skip


def factorisation(operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype) -> None:
    """A = U diag(s) V^H with s >= 0."""
    if not isinstance(operator, SVDOperator):
        raise TypeError(f"{type(operator).__name__} is not an SVDOperator")
    x = random_input(operator, generator, dtype, (2,))
    s = operator.singular_values.to(dtype)
    require(bool((s >= 0).all()), operator, "factorisation", "negative singular value")
    require_equal(operator, "factorisation", operator.U(s * operator.Vh(x)), operator(x))


def pseudo_inverse(
    operator: LinearOperator, generator: torch.Generator, dtype: torch.dtype
) -> None:
    """Check Moore and Penrose: A+ A A+ = A+, A A+ A = A, A A+ and A+ A self-adjoint; in float64."""
    if not isinstance(operator, SVDOperator):
        raise TypeError(f"{type(operator).__name__} is not an SVDOperator")
    pinv, law = operator.pinv, "pseudo_inverse"
    x1, x2 = (random_input(operator, generator, torch.float64) for _ in range(2))
    y1, y2 = (random_output(operator, generator, torch.float64) for _ in range(2))
    require_equal(operator, law, pinv(operator(pinv(y1))), pinv(y1), PINV_TOLERANCE)
    # exact up to the singular values that pinv drops, 1e-6 of the largest
    require_equal(operator, law, operator(pinv(operator(x1))), operator(x1), 1e-5)
    for u, v, projected_u, projected_v in (
        (x1, x2, pinv(operator(x1)), pinv(operator(x2))),
        (y1, y2, operator(pinv(y1)), operator(pinv(y2))),
    ):
        error = ((projected_u.conj() * v).sum() - (u.conj() * projected_v).sum()).real.abs()
        scale = torch.linalg.vector_norm(u) * torch.linalg.vector_norm(v)
        small = (error < PINV_TOLERANCE * scale).item()
        require(small, operator, law, "a projection is not self-adjoint")


LAWS: tuple[Law, ...] = (
    shapes_and_dtypes,
    linearity,
    adjointness,
    double_adjoint,
    normal,
    gradients,
    batching,
    purity,
    refusals,
)
SVD_LAWS: tuple[Law, ...] = (orthonormal_factors, factorisation, pseudo_inverse)


def require(holds: bool, operator: ShapedModule, law: str, detail: str) -> None:
    """Raise ``AssertionError`` that names operator and law unless it holds."""
    if not holds:
        raise AssertionError(f"{type(operator).__name__} breaks the law of {law}: {detail}")


def require_equal(
    operator: ShapedModule,
    law: str,
    actual: Tensor,
    expected: Tensor,
    tolerance: float | None = None,
) -> None:
    """Require a relative error of at most the tolerance, by default that of the precision."""
    allowed = TOLERANCES[expected.dtype.to_real()] if tolerance is None else tolerance
    error = torch.linalg.vector_norm(actual - expected) / torch.linalg.vector_norm(expected)
    # written so that a NaN fails
    require(bool(error <= allowed), operator, law, f"relative error {error:.1e}")
