"""Linear maps with exact adjoints, and how they combine."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def matched(constant: Tensor, v: Tensor) -> Tensor:
    """Cast a constant to the precision of v; a real one stays real, a complex one complex."""
    real = v.dtype.to_real()
    return constant.to(real.to_complex() if constant.is_complex() else real)


class ShapedModule(nn.Module):
    """A map between trailing shapes; it refuses other ones and keeps complex constants complex."""

    in_complex: bool = False
    out_complex: bool = False

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> None:
        super().__init__()
        self.in_shape = tuple(int(n) for n in in_shape)
        self.out_shape = tuple(int(n) for n in out_shape)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ShapedModule:
        # Module.to(torch.float64) would drop the imaginary part of a complex buffer
        def on_parts(t: Tensor) -> Tensor:
            return torch.view_as_complex(fn(torch.view_as_real(t))) if t.is_complex() else fn(t)

        return super()._apply(on_parts, recurse)  # type: ignore[no-untyped-call]

    def _checked(self, v: Tensor, expected: tuple[int, ...], is_complex: bool) -> Tensor:
        name = type(self).__name__
        if v.ndim < len(expected) or v.shape[v.ndim - len(expected) :] != expected:
            raise ValueError(f"{name}: expected trailing shape {expected}, got {tuple(v.shape)}")
        if v.is_complex() != is_complex or not (is_complex or v.is_floating_point()):
            kind = "complex" if is_complex else "real floating-point"
            raise ValueError(f"{name}: expected a {kind} tensor, got {v.dtype}")
        buffer = next(self.buffers(), None)
        if buffer is not None and buffer.device != v.device:
            raise ValueError(f"{name}: is on {buffer.device}, got a tensor on {v.device}")
        return v


class LinearOperator(ShapedModule, abc.ABC):
    """Linear map A with an exact adjoint, acting on the trailing dimensions.

    Any leading batch dimensions go through as one call: ``forward`` takes ``(*batch, *in_shape)``
    and gives ``(*batch, *out_shape)``. Complex vectors form a real inner-product space,
    ``<u, v> = Re sum conj(u) v``, wherever one side of the map is real.

    Args:
        in_shape: Trailing shape of x.
        out_shape: Trailing shape of y.

    Attributes:
        in_complex: Whether x is complex.
        out_complex: Whether y is complex. Both are fixed by the operator, not by its input.
    """

    @abc.abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _adjoint(self, y: Tensor) -> Tensor: ...

    def _normal(self, x: Tensor) -> Tensor:
        return self._adjoint(self._forward(x))

    def forward(self, x: Tensor) -> Tensor:
        """Return A x for x of shape ``(*batch, *in_shape)``; ``ValueError`` for another shape."""
        return self._forward(self._checked(x, self.in_shape, self.in_complex))

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^H y for y of shape ``(*batch, *out_shape)``; ``ValueError`` for another."""
        return self._adjoint(self._checked(y, self.out_shape, self.out_complex))

    def normal(self, x: Tensor) -> Tensor:
        """Return A^H A x, overridden where that is cheaper than one after the other."""
        return self._normal(self._checked(x, self.in_shape, self.in_complex))

    @property
    def H(self) -> LinearOperator:
        """The adjoint as an operator; ``A.H.H is A``."""
        return _Adjoint(self)

    def __matmul__(self, other: LinearOperator) -> LinearOperator:
        return Composition(self, other)

    def __add__(self, other: LinearOperator) -> LinearOperator:
        return Sum(self, other)

    def __rmul__(self, factor: float) -> LinearOperator:
        return Scaled(factor, self)


class SVDOperator(LinearOperator):
    """Linear operator with a known thin singular value decomposition A = U diag(s) V^H.

    U and V have orthonormal columns; the coordinates have the shape of ``singular_values``
    (non-negative, in no particular order) and are complex only where x and y both are.
    """

    singular_values: Tensor

    @abc.abstractmethod
    def U(self, z: Tensor) -> Tensor:
        """Map coordinates to y."""

    @abc.abstractmethod
    def Uh(self, y: Tensor) -> Tensor:
        """Map y to coordinates."""

    @abc.abstractmethod
    def V(self, z: Tensor) -> Tensor:
        """Map coordinates to x."""

    @abc.abstractmethod
    def Vh(self, x: Tensor) -> Tensor:
        """Map x to coordinates."""

    def _forward(self, x: Tensor) -> Tensor:
        return self.U(matched(self.singular_values, x) * self.Vh(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.V(matched(self.singular_values, y) * self.Uh(y))

    def _normal(self, x: Tensor) -> Tensor:
        return self.V(matched(self.singular_values, x) ** 2 * self.Vh(x))

    def pinv(self, y: Tensor) -> Tensor:
        """Return the minimum-norm least-squares solution A^+ y (singular values > 1e-6 max)."""
        s = matched(self.singular_values, y)
        kept = s > 1e-6 * s.max()
        inverse = torch.where(kept, 1 / torch.where(kept, s, torch.ones_like(s)), 0.0)
        return self.V(inverse * self.Uh(self._checked(y, self.out_shape, self.out_complex)))


class _Adjoint(LinearOperator):
    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator.out_shape, operator.in_shape)
        self.operator = operator
        self.in_complex, self.out_complex = operator.out_complex, operator.in_complex

    def _forward(self, x: Tensor) -> Tensor:
        return self.operator._adjoint(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.operator._forward(y)

    @property
    def H(self) -> LinearOperator:
        return self.operator


class Composition(LinearOperator):
    """The map x -> outer(inner(x)).

    Args:
        outer: Operator applied last; its input must have the shape and kind of inner's output.
        inner: Operator applied first.
    """

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        if (outer.in_shape, outer.in_complex) != (inner.out_shape, inner.out_complex):
            raise ValueError(
                f"cannot compose: {type(outer).__name__} takes {outer.in_shape} "
                f"(complex={outer.in_complex}), {type(inner).__name__} gives {inner.out_shape} "
                f"(complex={inner.out_complex})"
            )
        super().__init__(inner.in_shape, outer.out_shape)
        self.outer, self.inner = outer, inner
        self.in_complex, self.out_complex = inner.in_complex, outer.out_complex

    def _forward(self, x: Tensor) -> Tensor:
        return self.outer._forward(self.inner._forward(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.inner._adjoint(self.outer._adjoint(y))

    def _normal(self, x: Tensor) -> Tensor:
        return self.inner._adjoint(self.outer._normal(self.inner._forward(x)))


class Sum(LinearOperator):
    """The map x -> A x + B x of two operators with the same shapes."""

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        shapes = [(a.in_shape, a.out_shape, a.in_complex, a.out_complex) for a in (first, second)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"cannot add operators of shapes {shapes[0]} and {shapes[1]}")
        super().__init__(first.in_shape, first.out_shape)
        self.first, self.second = first, second
        self.in_complex, self.out_complex = first.in_complex, first.out_complex

    def _forward(self, x: Tensor) -> Tensor:
        return self.first._forward(x) + self.second._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.first._adjoint(y) + self.second._adjoint(y)


class Scaled(LinearOperator):
    """The map x -> factor * A x with a real factor."""

    def __init__(self, factor: float, operator: LinearOperator) -> None:
        super().__init__(operator.in_shape, operator.out_shape)
        self.factor, self.operator = float(factor), operator
        self.in_complex, self.out_complex = operator.in_complex, operator.out_complex

    def _forward(self, x: Tensor) -> Tensor:
        return self.factor * self.operator._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.factor * self.operator._adjoint(y)

    def _normal(self, x: Tensor) -> Tensor:
        return self.factor**2 * self.operator._normal(x)


class Stack(LinearOperator):
    """Several operators on the same x, their outputs flattened and joined: y = (A1 x, A2 x, ...).

    Args:
        operators: At least one operator, all with the same ``in_shape`` and kinds.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        kinds = {(a.in_shape, a.in_complex, a.out_complex) for a in operators}
        if len(kinds) != 1:
            raise ValueError(f"cannot stack operators of different kinds: {sorted(kinds)}")
        first = operators[0]
        self._sizes = [torch.Size(a.out_shape).numel() for a in operators]
        super().__init__(first.in_shape, (sum(self._sizes),))
        self.in_complex, self.out_complex = first.in_complex, first.out_complex
        self.operators = nn.ModuleList(operators)

    def _parts(self) -> list[LinearOperator]:
        return list(self.operators)  # type: ignore[arg-type]

    def _forward(self, x: Tensor) -> Tensor:
        parts = [a._forward(x) for a in self._parts()]
        return torch.cat([p.flatten(x.ndim - len(self.in_shape)) for p in parts], dim=-1)

    def _adjoint(self, y: Tensor) -> Tensor:
        pieces = zip(self._parts(), torch.split(y, self._sizes, dim=-1), strict=True)
        return sum(
            (a._adjoint(p.reshape(*y.shape[:-1], *a.out_shape)) for a, p in pieces),
            start=y.new_zeros(()),
        )

    def _normal(self, x: Tensor) -> Tensor:
        return sum((a._normal(x) for a in self._parts()), start=x.new_zeros(()))
