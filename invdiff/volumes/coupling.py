"""What ties neighbouring slices together: terms of the objective of every data step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from invdiff.volumes.differences import z_difference_adjoint, z_differences
from invdiff.volumes.memory import IN_CORE, Memory
from invdiff.volumes.noise import SliceNoise
from invdiff.volumes.split import Split

__all__ = [
    "CouplingState",
    "DataStep",
    "Independent",
    "QuadraticZ",
    "SliceCoupling",
    "Terms",
    "Together",
    "TotalVariationZ",
    "soft_threshold",
]

# what a coupling carries from step to step: tensors alone, so that a checkpoint can hold them
CouplingState = tuple[Tensor, ...]


class DataStep(NamedTuple):
    r"""The data step that a coupling takes part in.

    Args:
        number: Of the step, from 0.
        estimate: An image without noise, ``(samples, slices, rows, columns)``: the one before the
            step, or the denoised one where the method carries a noisy image.
        denoised: What the prior of slices makes of it.
        sigma: Noise level in the units of the image, 0-dimensional.
        weight: Precision w of the denoised image, 0-dimensional or one a sample and slice with
            two more axes: the data step minimises
            :math:`\tfrac12 \|t - A x\|_W^2 + \tfrac w2 \|x - D\|^2`.
        noise: Random numbers.
        split: Slices that are held here.
        data_range: Lowest and highest value of the image.
        memory: Where volumes live.
    """

    number: int
    estimate: Tensor
    denoised: Tensor
    sigma: Tensor
    weight: Tensor
    noise: SliceNoise
    split: Split
    data_range: tuple[float, float]
    memory: Memory = IN_CORE


class Terms(NamedTuple):
    r"""The quadratic that a coupling adds to the objective.

    .. math:: \tfrac a2 \|x\|^2 + \tfrac b2 \|D_z x\|^2 - \langle c, x \rangle

    Args:
        diagonal: a, 0-dimensional; None for 0.
        differences: b, 0-dimensional; None for 0.
        pull: c, of the shape of x; None for 0.
    """

    diagonal: Tensor | None = None
    differences: Tensor | None = None
    pull: Tensor | None = None


class SliceCoupling(Protocol):
    """A term of the objective that ties slices together, minimised by quadratic steps."""

    def init(self, x: Tensor, split: Split, memory: Memory = IN_CORE) -> CouplingState:
        """Return what is carried from step to step, for the first image, in that memory."""
        ...

    def num_carried(self) -> int:
        """Count the tensors that are carried."""
        ...

    def terms(self, state: CouplingState, step: DataStep) -> Terms:
        """Return the quadratic of a step."""
        ...

    def update(self, state: CouplingState, x: Tensor, step: DataStep) -> CouplingState:
        """Return the state after x has been found."""
        ...


@dataclass(frozen=True)
class Independent:
    """No coupling: every slice for itself."""

    def init(self, x: Tensor, split: Split, memory: Memory = IN_CORE) -> CouplingState:
        """Carry nothing."""
        return ()

    def num_carried(self) -> int:
        """Count the tensors that are carried: none."""
        return 0

    def terms(self, state: CouplingState, step: DataStep) -> Terms:
        """Add nothing."""
        return Terms()

    def update(self, state: CouplingState, x: Tensor, step: DataStep) -> CouplingState:
        """Carry nothing."""
        return ()


@dataclass(frozen=True)
class QuadraticZ:
    r"""Neighbouring slices are close in the mean square.

    .. math:: \tfrac{\kappa w}{2} \|D_z x\|^2

    Args:
        strength: :math:`\kappa`, over the precision w of the denoised image.

    Raises:
        ValueError: A strength below 0, or an infinite one.
    """

    strength: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.strength < math.inf:
            raise ValueError(f"QuadraticZ: expected a finite strength >= 0, got {self.strength}")

    def init(self, x: Tensor, split: Split, memory: Memory = IN_CORE) -> CouplingState:
        """Carry nothing."""
        return ()

    def num_carried(self) -> int:
        """Count the tensors that are carried: none."""
        return 0

    def terms(self, state: CouplingState, step: DataStep) -> Terms:
        """Add the quadratic."""
        return Terms(differences=self.strength * step.weight)

    def update(self, state: CouplingState, x: Tensor, step: DataStep) -> CouplingState:
        """Carry nothing."""
        return ()


@dataclass(frozen=True)
class TotalVariationZ:
    r"""Few voxels differ from one slice to the next: total variation along z, by ADMM.

    .. math:: \kappa w s \|D_z x\|_1

    The weight follows the precision w of the denoised image. With s its noise level
    :math:`\sigma`, differences below about :math:`\kappa \sigma` are noise in every step;
    ``scaling="absolute"`` takes half the data range for s instead, at all levels. One ADMM
    iteration a step :cite:p:`boyd2011`, its variables carried from step to step as by
    :cite:t:`chung2023mbir`; the dual variable is kept unscaled, since the penalty :math:`\rho w`
    changes from step to step.

    Args:
        strength: :math:`\kappa`.
        penalty: :math:`\rho`, of ADMM, over w.
        scaling: s, the noise level ("noise") or half the data range ("absolute").

    Raises:
        ValueError: A number out of its range.
    """

    strength: float = 0.15
    penalty: float = 1.0
    scaling: Literal["noise", "absolute"] = "noise"

    def __post_init__(self) -> None:
        if not (self.strength >= 0 and self.penalty > 0):
            raise ValueError(
                f"TotalVariationZ: expected strength >= 0 and penalty > 0, got {self.strength} "
                f"and {self.penalty}"
            )
        if self.scaling not in ("noise", "absolute"):
            raise ValueError(
                f"TotalVariationZ: expected scaling noise or absolute, got {self.scaling!r}"
            )

    def init(self, x: Tensor, split: Split, memory: Memory = IN_CORE) -> CouplingState:
        """Carry the differences and their dual variable."""
        differences = z_differences(x, split, out=memory.empty_like(x))
        return differences, memory.empty_like(x).zero_()

    def num_carried(self) -> int:
        """Count the tensors that are carried: two."""
        return 2

    def terms(self, state: CouplingState, step: DataStep) -> Terms:
        """Add the augmented Lagrangian."""
        differences, dual = state
        rho = self.penalty * step.weight
        memory = step.memory
        v = memory.map(lambda d, u, r: r * d - u, differences, dual, rho)
        pull = z_difference_adjoint(v, step.split, out=memory.empty_like(v))
        return Terms(differences=rho, pull=pull)

    def update(self, state: CouplingState, x: Tensor, step: DataStep) -> CouplingState:
        """Shrink the differences, and step along the dual."""
        _, dual = state
        rho = self.penalty * step.weight
        memory = step.memory
        moved = z_differences(x, step.split, out=memory.empty_like(x))
        moved = memory.map(lambda d, u, r: d + u / r, moved, dual, rho, out=moved)
        low, high = step.data_range
        scale = step.sigma if self.scaling == "noise" else step.sigma.new_tensor((high - low) / 2)
        threshold = self.strength / self.penalty * scale.to(rho)
        differences = memory.map(soft_threshold, moved, threshold)
        # the state of the step before stays as it is: others may hold it
        return differences, memory.map(_slope, moved, differences, rho, out=moved)


def soft_threshold(v: Tensor, threshold: Tensor | float) -> Tensor:
    """Return the soft threshold, of magnitudes if complex."""
    size = v.abs()
    kept = (size - threshold).clamp(min=0)
    return v * (kept / size.clamp(min=1e-30))


def _slope(moved: Tensor, differences: Tensor, rho: Tensor) -> Tensor:
    """Return the dual variable at the shrunk differences."""
    return rho * (moved - differences)


@dataclass(frozen=True)
class Together:
    """Several couplings at once; their terms add up.

    Args:
        parts: At least one coupling.

    Raises:
        ValueError: There is none.
    """

    parts: tuple[SliceCoupling, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("Together: expected at least one coupling")

    def init(self, x: Tensor, split: Split, memory: Memory = IN_CORE) -> CouplingState:
        """Carry what each of them carries."""
        return tuple(t for part in self.parts for t in part.init(x, split, memory))

    def num_carried(self) -> int:
        """Count the tensors that are carried."""
        return sum(part.num_carried() for part in self.parts)

    def terms(self, state: CouplingState, step: DataStep) -> Terms:
        """Add all terms."""
        found = [part.terms(own, step) for part, own in self._divided(state)]
        return Terms(*(_total(values) for values in zip(*found, strict=True)))

    def update(self, state: CouplingState, x: Tensor, step: DataStep) -> CouplingState:
        """Return what each of them carries on."""
        return tuple(t for part, own in self._divided(state) for t in part.update(own, x, step))

    def _divided(self, state: CouplingState) -> list[tuple[SliceCoupling, CouplingState]]:
        divided, first = [], 0
        for part in self.parts:
            divided.append((part, state[first : first + part.num_carried()]))
            first += part.num_carried()
        return divided


def _total(values: Sequence[Tensor | None]) -> Tensor | None:
    present = [value for value in values if value is not None]
    return reduce(torch.add, present) if present else None
