"""Operators whose two directions are computed outside autograd."""

from __future__ import annotations

import abc
import math
from typing import Any

import torch
from torch import Tensor

from operators.base import LinearOperator


class MatchedPair(LinearOperator):
    """Linear operator of a pair of products, each the exact adjoint of the other.

    The pair may call anything, such as compiled kernels: autograd doesn't look inside, and takes
    either product as the derivative of the other, in every order.
    """

    @abc.abstractmethod
    def _product(self, v: Tensor, transposed: bool) -> Tensor:
        """Map (b, *in_shape) to (b, *out_shape) by A, or the other way by A^H if transposed."""

    def _forward(self, x: Tensor) -> Tensor:
        return _Product.apply(x, self, False)  # type: ignore[no-untyped-call]

    def _adjoint(self, y: Tensor) -> Tensor:
        return _Product.apply(y, self, True)  # type: ignore[no-untyped-call]

    def _batched(self, v: Tensor, transposed: bool) -> Tensor:
        inner = self.out_shape if transposed else self.in_shape
        batch = v.shape[: v.ndim - len(inner)]
        # a lazy conjugate would reach kernels that read memory as it is
        flat = v.resolve_conj().reshape(math.prod(batch), *inner)
        product = self._product(flat, transposed)
        return product.reshape(*batch, *product.shape[1:])


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, operator: MatchedPair, transposed: bool) -> Tensor:
        ctx.operator, ctx.transposed = operator, transposed
        return operator._batched(v, transposed)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        grad = _Product.apply(grads[0], ctx.operator, not ctx.transposed)  # type: ignore[no-untyped-call]
        return grad, None, None
