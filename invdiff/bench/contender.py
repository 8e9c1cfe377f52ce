"""One implementation of an operator, in its own layout, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Contender", "Unavailable", "dot_error", "random_like"]


class Unavailable(Exception):
    """A peer that cannot take part here: not installed, or not for this device."""


@dataclass(frozen=True, eq=False)
class Contender:
    """Forward map and adjoint of one package, acting on inputs in its own layout.

    Args:
        name: Package, and its mode if it has several.
        forward: Maps x to y, the whole batch at once or in the loop that the package needs.
        adjoint: Maps y to x; what the package offers as the adjoint.
        x: Image batch.
        y: Measurement batch, random.
    """

    name: str
    forward: Callable[[Any], Any]
    adjoint: Callable[[Any], Any]
    x: Any
    y: Any

    @classmethod
    def of(
        cls, name: str, forward: Callable[[Any], Any], adjoint: Callable[[Any], Any], x: Any
    ) -> Contender:
        """Make one with a random y of the shape that the forward map gives."""
        return cls(name, forward, adjoint, x, random_like(forward(x)))


def random_like(v: Any) -> Any:
    """Return standard normals in the array kind, shape, dtype and place of v."""
    shape = tuple(v.shape)
    draws = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    if isinstance(v, torch.Tensor):
        real, imag = torch.from_numpy(draws).to(v.device, v.dtype.to_real())
        return torch.complex(real, imag) if v.is_complex() else real
    return (draws[0] + 1j * draws[1] if np.iscomplexobj(v) else draws[0]).astype(v.dtype)


def dot_error(contender: Contender) -> float:
    r"""Return :math:`|\langle Ax, y\rangle - \langle x, A^H y\rangle| / (\|Ax\| \|y\|)`.

    Real parts, summed in double precision.
    """
    forward, adjoint = contender.forward(contender.x), contender.adjoint(contender.y)
    ax, y, x, ahy = map(_flat, (forward, contender.y, contender.x, adjoint))
    gap = np.vdot(ax, y).real - np.vdot(x, ahy).real
    return float(abs(gap) / (np.linalg.norm(ax) * np.linalg.norm(y)))


def _flat(v: Any) -> NDArray[np.complex128]:
    array = v.detach().cpu().numpy() if isinstance(v, torch.Tensor) else np.asarray(v)
    return array.astype(np.complex128).ravel()
