"""Reference pairs, and how far an ODE's images are from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from invdiff.superres.ode import SuperResolutionOde

__all__ = ["Boundary", "Metric", "Pairs", "losses_of"]

# (image, truth) -> one loss for each image, lower is better; both (*batch, *image)
Metric = Callable[[Tensor, Tensor], Tensor]


class Boundary(Protocol):
    """Where the ODE of each measurement starts."""

    def __call__(self, y: Tensor) -> Tensor:
        """Return x_T of unit variance, ``(*image)`` for all or ``(*batch, *image)``."""
        ...


class Pairs(NamedTuple):
    """Measurements ``(pairs, *measurement)`` and the true images ``(pairs, *image)``."""

    measurements: Tensor
    truths: Tensor


@torch.no_grad()
def losses_of(ode: SuperResolutionOde, boundaries: Tensor, pairs: Pairs, metric: Metric) -> Tensor:
    """Return the loss of every boundary on every pair, shape ``(boundaries, pairs)``.

    Args:
        ode: h.
        boundaries: x_T, ``(boundaries, *image)``.
        pairs: Where it is judged.
        metric: How.
    """
    rows = [metric(ode(boundary, pairs.measurements), pairs.truths) for boundary in boundaries]
    return torch.stack(rows)
