"""What a sampler needs to know of an interpolant, and one built of learned fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from invdiff.interpolants import conversions
from invdiff.interpolants.interpolant import Interpolant

__all__ = ["Field", "FieldProcess", "JointProcess", "Process", "velocity_and_score"]

# (x, t) -> a mean given x_t = x; x (*batch, *shape), t 0-dimensional or batch
Field = Callable[[Tensor, Tensor], Tensor]


class Process(Protocol):
    """The law of an interpolant, through its velocity b and its score s.

    Attributes:
        interpolant: Whose law it is.
    """

    @property
    def interpolant(self) -> Interpolant: ...  # noqa: D102

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b(x, t) for x ``(*batch, *shape)``, t 0-dimensional or ``batch``."""
        ...

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s(x, t), the gradient of the log density."""
        ...


@runtime_checkable
class JointProcess(Process, Protocol):
    """A process that finds b and s together with less work than one by one."""

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b(x, t) and s(x, t)."""
        ...


def velocity_and_score(process: Process, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return b(x, t) and s(x, t), in one go where the process can."""
    if isinstance(process, JointProcess):
        return process.both(x, t)
    return process.velocity(x, t), process.score(x, t)


@dataclass(frozen=True)
class FieldProcess:
    """A process from the fields that were learned; what is missing is converted.

    Args:
        interpolant: What they were learned on.
        b: The velocity, or None.
        v: The mean velocity of the path, or None.
        s: The score, or None.
        eta: The mean of the latent noise, or None.

    Raises:
        ValueError: Too few fields: needed is one of b and v and one of s and eta; any single one
            but v for an interpolant without x0.
    """

    interpolant: Interpolant
    b: Field | None = None
    v: Field | None = None
    s: Field | None = None
    eta: Field | None = None

    def __post_init__(self) -> None:
        noise = self.s is not None or self.eta is not None
        speed = self.b is not None or self.v is not None
        single = not self.interpolant.has_x0 and (noise or self.b is not None)
        if not (noise and speed) and not single:
            raise ValueError(
                "FieldProcess: expected one of b, v and one of s, eta; for an interpolant without "
                "x0 one of b, s, eta"
            )

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b."""
        if self.b is not None:
            return self.b(x, t)
        if self.v is not None:
            return conversions.velocity_from_noise(
                self.interpolant, self.v(x, t), self.noise(x, t), t
            )
        return conversions.one_sided_velocity(self.interpolant, x, self.noise(x, t), t)

    def noise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return eta."""
        if self.eta is not None:
            return self.eta(x, t)
        if self.s is not None:
            return conversions.noise_from_score(self.interpolant, self.s(x, t), t)
        if self.b is None:
            raise ValueError("FieldProcess: nothing to find the noise from")
        return conversions.one_sided_noise(self.interpolant, x, self.b(x, t), t)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s."""
        if self.s is not None:
            return self.s(x, t)
        return conversions.score_from_noise(self.interpolant, self.noise(x, t), t)

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b and s at one call of each field."""
        if self.b is not None and (self.s is not None or self.eta is not None):
            return self.b(x, t), self.score(x, t)
        if self.b is not None:
            b = self.b(x, t)
            eta = conversions.one_sided_noise(self.interpolant, x, b, t)
            return b, conversions.score_from_noise(self.interpolant, eta, t)
        eta = self.noise(x, t)
        s = conversions.score_from_noise(self.interpolant, eta, t)
        if self.v is not None:
            v = self.v(x, t)
            return conversions.velocity_from_noise(self.interpolant, v, eta, t), s
        return conversions.one_sided_velocity(self.interpolant, x, eta, t), s
