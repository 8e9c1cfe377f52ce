"""What a sampler needs to know of an interpolant, and one built of learned fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from invdiff.interpolants import conversions
from invdiff.interpolants.interpolant import Interpolant, Mirror

__all__ = ["CombinedProcess", "Field", "FieldProcess", "Process", "velocity_and_score"]

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
class CombinedProcess(Process, Protocol):
    """A process that finds b and s together at less than the cost of both."""

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b(x, t) and s(x, t)."""
        ...


def velocity_and_score(process: Process, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return b(x, t) and s(x, t), together where the process can."""
    if isinstance(process, CombinedProcess):
        return process.both(x, t)
    return process.velocity(x, t), process.score(x, t)


@dataclass(frozen=True)
class FieldProcess:
    """A process from the fields that were learned; what is missing is converted.

    A field that was not learned is singular where its conversion is: s where gamma is 0, b of an
    interpolant without x0 where beta is 0.

    Args:
        interpolant: What they were learned on.
        b: The velocity, or None.
        v: The mean velocity of the path, or None.
        s: The score, or None.
        eta: The mean of the latent noise, or None.

    Raises:
        ValueError: Too few fields: needed is one of b and v and one of s and eta. One of s and eta
            is enough for an interpolant without x0, and b for ``OneSided``.
    """

    interpolant: Interpolant
    b: Field | None = None
    v: Field | None = None
    s: Field | None = None
    eta: Field | None = None

    def __post_init__(self) -> None:
        noise = self.s is not None or self.eta is not None
        speed = self.b is not None or self.v is not None
        if self.interpolant.has_x0:
            enough = noise and speed
        else:
            # the velocity of a mirror vanishes with gamma', and v of it everywhere
            enough = noise or (self.b is not None and not isinstance(self.interpolant, Mirror))
        if not enough:
            raise ValueError(
                "FieldProcess: expected one of b, v and one of s, eta; for an interpolant without "
                "x0 one of s, eta, and for OneSided one of b, s, eta"
            )

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return b."""
        if self.b is not None:
            return self.b(x, t)
        if self.s is not None:
            return self._velocity_from_score(x, self.s(x, t), t)
        return self._velocity_from_noise(x, self.noise(x, t), t)

    def noise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return eta."""
        if self.eta is not None:
            return self.eta(x, t)
        if self.s is not None:
            return conversions.noise_from_score(self.interpolant, self.s(x, t), t)
        return conversions.one_sided_noise(self.interpolant, x, self.velocity(x, t), t)

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """Return s."""
        if self.s is not None:
            return self.s(x, t)
        return conversions.score_from_noise(self.interpolant, self.noise(x, t), t)

    def both(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return b and s, at one call of each field that is needed."""
        if self.s is not None:
            s = self.s(x, t)
            return (self._velocity_from_score(x, s, t) if self.b is None else self.b(x, t)), s
        if self.eta is not None:
            eta = self.eta(x, t)
            b = self._velocity_from_noise(x, eta, t) if self.b is None else self.b(x, t)
        else:
            b = self.velocity(x, t)
            eta = conversions.one_sided_noise(self.interpolant, x, b, t)
        return b, conversions.score_from_noise(self.interpolant, eta, t)

    def _velocity_from_score(self, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
        if self.v is not None:
            return conversions.velocity_from_score(self.interpolant, self.v(x, t), s, t)
        return conversions.one_sided_velocity_from_score(self.interpolant, x, s, t)

    def _velocity_from_noise(self, x: Tensor, eta: Tensor, t: Tensor) -> Tensor:
        if self.v is not None:
            return conversions.velocity_from_noise(self.interpolant, self.v(x, t), eta, t)
        return conversions.one_sided_velocity(self.interpolant, x, eta, t)
