"""Nonlinear maps with closed-form derivatives in both directions."""

from __future__ import annotations

import abc
from typing import Literal

import torch
from torch import Tensor

from operators.base import LinearOperator, ShapedModule


class NonlinearOperator(ShapedModule, abc.ABC):
    r"""Differentiable map F with its Jacobian J(x) and the adjoint of that, without autograd.

    Any leading batch dimensions go through as one call, as for
    :class:`~operators.base.LinearOperator`. The inner product is the real one,
    :math:`\langle u, v \rangle = \mathrm{Re} \sum \bar u v`, for complex x as well: F need not be
    holomorphic.

    Args:
        in_shape: Trailing shape of x.
        out_shape: Trailing shape of F(x).

    Attributes:
        in_complex: Whether x is complex.
        out_complex: Whether F(x) is complex. Both are fixed by the operator, not by its input.
    """

    @abc.abstractmethod
    def _forward(self, x: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _jvp(self, x: Tensor, v: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def _vjp(self, x: Tensor, w: Tensor) -> Tensor: ...

    def forward(self, x: Tensor) -> Tensor:
        """Return F(x) for x ``(*batch, *in_shape)``; ``ValueError`` for another shape."""
        return self._forward(self._checked(x, self.in_shape, self.in_complex))

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        """Return J(x) v, the derivative of F at x along v; their batches broadcast."""
        x = self._checked(x, self.in_shape, self.in_complex)
        return self._jvp(x, self._checked(v, self.in_shape, self.in_complex))

    def vjp(self, x: Tensor, w: Tensor) -> Tensor:
        r"""Return J(x)^T w, with :math:`\langle J v, w \rangle = \langle v, J^T w \rangle`.

        The gradient of a loss of F(x) is this of the loss's gradient w; batches broadcast.
        """
        x = self._checked(x, self.in_shape, self.in_complex)
        return self._vjp(x, self._checked(w, self.out_shape, self.out_complex))

    def linearised(self, x: Tensor) -> LinearOperator:
        """Return J(x) as an operator, for one x of shape ``in_shape``, such as for Gauss-Newton."""
        if x.shape != self.in_shape:
            raise ValueError(
                f"{type(self).__name__}: expected one x of shape {self.in_shape}, "
                f"got {tuple(x.shape)}"
            )
        return _Jacobian(self, self._checked(x, self.in_shape, self.in_complex))


class _Jacobian(LinearOperator):
    x: Tensor

    def __init__(self, operator: NonlinearOperator, x: Tensor) -> None:
        super().__init__(operator.in_shape, operator.out_shape)
        self.in_complex, self.out_complex = operator.in_complex, operator.out_complex
        self.operator = operator
        self.register_buffer("x", x)

    def _forward(self, v: Tensor) -> Tensor:
        return self.operator._jvp(self.x.to(v.dtype), v)

    def _adjoint(self, w: Tensor) -> Tensor:
        real = w.dtype.to_real()
        x = self.x.to(real.to_complex() if self.in_complex else real)
        return self.operator._vjp(x, w)


class PhaseRetrieval(NonlinearOperator):
    r"""Intensities or amplitudes of a linear measurement, whose phase (or sign) is lost.

    .. math:: F(x) = |A x|^2 \ \text{(intensity)}, \qquad |A x| \ \text{(amplitude)}

    .. math:: J v = 2 \, \mathrm{Re}(\overline{A x} \odot A v), \qquad J^T w = 2 A^H (w \odot A x)

    for the intensity; for the amplitude A x / \|A x\| stands in the place of 2 A x, zero where A x
    is: there the amplitude has no derivative, and 0 is the smallest of its subgradients.

    Args:
        linear: A, of any kind.
        measured: ``"intensity"`` (what detectors count; smooth) or ``"amplitude"``.

    Raises:
        ValueError: If ``measured`` is neither.
    """

    def __init__(
        self,
        linear: LinearOperator,
        measured: Literal["intensity", "amplitude"] = "intensity",
    ) -> None:
        if measured not in ("intensity", "amplitude"):
            raise ValueError(
                f"PhaseRetrieval: measured is {measured!r}, neither 'intensity' nor 'amplitude'"
            )
        super().__init__(linear.in_shape, linear.out_shape)
        self.in_complex = linear.in_complex
        self.linear, self.measured = linear, measured

    def _forward(self, x: Tensor) -> Tensor:
        z = self.linear._forward(x)
        if self.measured == "amplitude":
            return z.abs()
        return z.real**2 + z.imag**2 if z.is_complex() else z**2

    def _jvp(self, x: Tensor, v: Tensor) -> Tensor:
        product = self._slope(x).conj() * self.linear._forward(v)
        return product.real if product.is_complex() else product

    def _vjp(self, x: Tensor, w: Tensor) -> Tensor:
        return self.linear._adjoint(w * self._slope(x))

    def _slope(self, x: Tensor) -> Tensor:
        z = self.linear._forward(x)
        return torch.sgn(z) if self.measured == "amplitude" else 2 * z
