"""The divergence of a field, exact or with random probes, next to the field itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invdiff.interpolants.process import Field
from invdiff.rng import problem_streams

__all__ = ["Divergence", "HutchinsonDivergence", "exact_divergence", "hutchinson"]

# (field, x, t) -> the field at x, and its divergence (batch,)
Divergence = Callable[[Field, Tensor, Tensor], tuple[Tensor, Tensor]]


def exact_divergence(field: Field, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the field and :math:`\sum_i \partial_i b_i`, one backward derivative for each i.

    Args:
        field: Treats the members of the batch one by one.
        x: ``(batch, *shape)``; one call of the field, and a backward pass for each
            number in the shape.
        t: 0-dimensional or ``batch``.
    """
    basis = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device).reshape(-1, *x.shape[1:])
    value, pull = _pulled(field, x, t)
    # row i of the Jacobian of each member, as they don't depend on each other
    parts = [(e * pull(e.expand_as(value))[0]).flatten(1).sum(1) for e in basis]
    return value, torch.stack(parts).sum(0)


@dataclass(frozen=True, eq=False)
class HutchinsonDivergence:
    r"""An unbiased estimate :math:`e^T J e`, mean over probes with :math:`E[e e^T] = I`.

    Made once and used along a whole path, so that the solver sees a smooth function. For the
    symmetric part S of J the variance of a probe is :math:`2 \|S\|^2` if it is Gaussian, and
    that without the diagonal for random signs :cite:p:`hutchinson1990`.

    Args:
        probes: ``(probes, batch, *shape)``, see ``hutchinson``.

    Raises:
        ValueError: No probe.
    """

    probes: Tensor

    def __post_init__(self) -> None:
        if not len(self.probes):
            raise ValueError("HutchinsonDivergence: expected at least one probe")

    def __call__(self, field: Field, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the field and the estimate.

        Raises:
            ValueError: An x of another shape than the probes.
        """
        if x.shape != self.probes.shape[1:]:
            raise ValueError(
                f"HutchinsonDivergence: expected {tuple(self.probes.shape[1:])}, got "
                f"{tuple(x.shape)}"
            )
        value, pull = _pulled(field, x, t)
        parts = [(e * pull(e)[0]).flatten(1).sum(1) for e in self.probes]
        return value, torch.stack(parts).mean(0)


def hutchinson(
    like: Tensor,
    num_probes: int = 1,
    *,
    kind: Literal["signs", "gaussian"] = "signs",
    generator: torch.Generator,
) -> HutchinsonDivergence:
    """Draw probes for a batch, each sample from its own stream.

    Args:
        like: An x ``(batch, *shape)``.
        num_probes: Probes of each sample.
        kind: Random signs, or standard normals.
        generator: Source of the streams.

    Raises:
        ValueError: No probe.
    """
    streams = problem_streams(generator, len(like), ())
    probes = streams.normal((num_probes, *like.shape[1:]), like).transpose(0, 1)
    if kind == "signs":
        probes = torch.where(probes < 0, -1.0, 1.0).to(like)
    return HutchinsonDivergence(probes)


def _pulled(
    field: Field, x: Tensor, t: Tensor
) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, ...]]]:
    """Return the field, and the product of a vector with its Jacobian from the left."""
    pulled = torch.func.vjp(lambda x: field(x, t), x)
    return pulled[0], pulled[1]
