"""The likelihood of volumes that are not where the operator is, or pass it some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.volumes.memory import IN_CORE, Memory, groups
from operators.slices import SliceStack

__all__ = [
    "PlacedLikelihood",
    "SliceLikelihood",
    "placed_likelihood",
    "vector_bytes",
    "weighted_normal",
]

_Z = -3
# images beside the product itself: what goes in and comes out
_LEAST = 3


def placed_likelihood(likelihood: Likelihood, memory: Memory, num_samples: int) -> Likelihood:
    """Return the likelihood of volumes that live where the memory has them.

    Raises:
        ValueError: One slice takes more than the memory's limit.
    """
    if memory == IN_CORE:
        return likelihood
    if isinstance(likelihood.operator, SliceStack):
        return SliceLikelihood(likelihood, likelihood.operator, memory, num_samples)
    return PlacedLikelihood(likelihood, memory)


def vector_bytes(likelihood: Likelihood) -> int:
    """Return the size of one volume, in the precision of the measurements."""
    real = likelihood.y.dtype.to_real()
    dtype = real.to_complex() if likelihood.operator.in_complex else real
    return torch.Size(likelihood.image_shape).numel() * dtype.itemsize


def weighted_normal(likelihood: Likelihood, x: Tensor, out: Tensor | None) -> Tensor:
    """Return A^H W A x in a tensor that may be changed: in out if the likelihood can."""
    if isinstance(likelihood, SliceLikelihood | PlacedLikelihood):
        return likelihood.weighted_normal(x, out=out)
    return likelihood.weighted_normal(x)


class _Part(Likelihood):
    """Some slices of a measurement that has been checked."""

    def __init__(self, whole: Likelihood, stack: SliceStack, y: Tensor) -> None:
        self._bind(stack.operator, whole.noise, y)


class SliceLikelihood(Likelihood):
    """Likelihood of a stack of slices that goes through the operator some slices at a time.

    Volumes and measurements may be elsewhere than the operator.

    Args:
        likelihood: The same, of all slices at once; its measurements are used as they are.
        stack: Its operator.
        memory: Where volumes live, where the operator runs, and what it may take there.
        num_samples: Volumes that go through together.

    Attributes:
        chunk_size: Slices at a time.

    Raises:
        ValueError: One slice takes more than the limit.
    """

    def __init__(
        self, likelihood: Likelihood, stack: SliceStack, memory: Memory, num_samples: int
    ) -> None:
        self._bind(stack, likelihood.noise, likelihood.y)
        self._stack, self._memory = stack, memory
        self._device = self.y.device if memory.device is None else memory.device
        self._y_axis = -1 - len(stack.operator.out_shape)
        first = self._part(0, 1)
        # noise of one level: no need to bring the measurements along with every product
        self._level = first.precision if first.precision.ndim == 0 else None
        like = memory.empty(stack.in_shape, first.weighted_adjoint.to(self.y.device))
        self.chunk_size = memory.chunk_size(
            lambda count: self._both(like.new_zeros(num_samples, count, *stack.in_shape[1:])),
            self._device,
            stack.num_slices,
            least=_LEAST * num_samples * like[0].numel() * like.element_size(),
        )
        for z, count in groups(like, self.chunk_size):
            like.narrow(_Z, z, count).copy_(self._part(z, count).weighted_adjoint)
        self.weighted_adjoint = like

    def weighted_normal(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return A^H W A x, in out if that is given."""
        out = self._memory.empty_like(x) if out is None else out
        for first, count in groups(x, self.chunk_size):
            product = self._normal(x.narrow(_Z, first, count), first, count)
            out.narrow(_Z, first, count).copy_(product)
        return out

    def residual(self, x: Tensor) -> Tensor:
        """Return t - A x where x is."""
        parts = [part.residual(v).to(x.device) for part, v in self._parts(x)]
        return torch.cat(parts, dim=self._y_axis)

    def score(self, x: Tensor) -> Tensor:
        """Return the gradient of log p(y | x)."""
        out, first = self._memory.empty_like(x), 0
        for part, v in self._parts(x):
            out.narrow(_Z, first, v.shape[_Z]).copy_(part.score(v))
            first += v.shape[_Z]
        return out

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(y | x), shape ``batch``."""
        return self._by_slice(x, Likelihood.log_prob).sum(-1)

    def residual_over_noise(self, x: Tensor) -> Tensor:
        """Return the root of the mean square over all slices, shape ``batch``."""
        return self._by_slice(x, Likelihood.residual_over_noise).square().mean(-1).sqrt()

    def _by_slice(self, x: Tensor, value: Callable[[Likelihood, Tensor], Tensor]) -> Tensor:
        return torch.cat([value(part, v).to(x.device) for part, v in self._parts(x)], dim=-1)

    def _parts(self, x: Tensor) -> Iterator[tuple[_Part, Tensor]]:
        for first, count in groups(x, self.chunk_size):
            yield self._part(first, count), x.narrow(_Z, first, count).to(self._device)

    def _part(self, first: int, count: int) -> _Part:
        y = self.y.narrow(self._y_axis, first, count).to(self._device)
        return _Part(self, self._stack, y)

    def _normal(self, x: Tensor, first: int, count: int) -> Tensor:
        x = x.to(self._device)
        if self._level is not None:
            return self._level * self._stack.operator.normal(x)
        return self._part(first, count).weighted_normal(x)

    def _both(self, x: Tensor) -> None:
        """Make the product of a step, and what a callback asks for."""
        count = x.shape[_Z]
        self._normal(x, 0, count)
        self._part(0, count).residual_over_noise(x.to(self._device))


class PlacedLikelihood(Likelihood):
    """Likelihood of volumes that are elsewhere than their three-dimensional operator.

    Args:
        likelihood: The same, of volumes beside the operator.
        memory: Where volumes live, and where the operator runs.
    """

    def __init__(self, likelihood: Likelihood, memory: Memory) -> None:
        device = likelihood.y.device if memory.device is None else memory.device
        self._bind(likelihood.operator, likelihood.noise, likelihood.y.to(device))
        self._memory = memory
        adjoint = self.operator.adjoint(self.precision * self.target)
        self.weighted_adjoint = memory.copy(adjoint)

    def weighted_normal(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return A^H W A x, in out if that is given."""
        out = self._memory.empty_like(x) if out is None else out
        return out.copy_(super().weighted_normal(x.to(self.y.device)))

    def residual(self, x: Tensor) -> Tensor:
        """Return t - A x beside the operator."""
        return super().residual(x.to(self.y.device))

    def score(self, x: Tensor) -> Tensor:
        """Return the gradient of log p(y | x) where x is."""
        return super().score(x.to(self.y.device)).to(x.device)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(y | x), shape ``batch``."""
        return super().log_prob(x.to(self.y.device))
