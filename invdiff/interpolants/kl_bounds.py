r"""What errors of the fields cost, in the divergence of the law that is sampled from the true one.

The forward SDE with learned fields and noise epsilon, started in the true law, obeys

.. math::
    KL(\rho_1 \| \hat\rho_1)
    \le \int \frac{1}{4 \epsilon} E |\hat b - b + \epsilon (\hat s - s)|^2\, dt
    \le \int \Big( \frac{1}{2 \epsilon} E |\hat b - b|^2
        + \frac{\epsilon}{2} E |\hat s - s|^2 \Big)\, dt,

by the theorem of Girsanov; means over the true law of x_t. :cite:t:`albergo2023`, section 2.4.
Nothing of the kind holds for the ODE: a velocity error of any small size, but fast oscillation,
may change the density by a fixed factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from invdiff.interpolants.couplings import Coupling
from invdiff.interpolants.diffusion import Epsilon, TabulatedEpsilon
from invdiff.interpolants.process import Process, velocity_and_score

__all__ = [
    "FieldErrors",
    "KlEstimate",
    "SampledProcess",
    "field_differences",
    "field_errors",
    "kl_monte_carlo",
    "kl_on_grid",
]

# (count, t 0-dimensional, generator) -> x_t (count, *shape)
_Sampler = Callable[[int, Tensor, torch.Generator], Tensor]


class SampledProcess(Process, Protocol):
    """A process whose marginals can be drawn, such as ``MixtureProcess``."""

    def sample(self, num_samples: int, t: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw x_t for a 0-dimensional t, ``(num_samples, *shape)``."""
        ...


@dataclass(frozen=True, eq=False)
class FieldErrors:
    r"""Mean squares of the errors of two fields along time, summed over the entries of x.

    Args:
        times: ``(times,)``, increasing; integrals are over their range, by the trapezoidal rule.
        velocity: :math:`E |\hat b - b|^2` at these times.
        score: :math:`E |\hat s - s|^2`.
        cross: :math:`E (\hat b - b) \cdot (\hat s - s)`.
    """

    times: Tensor
    velocity: Tensor
    score: Tensor
    cross: Tensor

    def drift_bound(self, epsilon: Epsilon) -> float:
        """Return the first bound, of the error of the drift as a whole; infinite for the ODE."""
        e = self._on_times(epsilon)
        return self._integral(_over(self.velocity, 4 * e) + self.cross / 2 + e * self.score / 4)

    def bound(self, epsilon: Epsilon) -> float:
        """Return the second bound, of the separate errors; infinite for the ODE."""
        e = self._on_times(epsilon)
        return self._integral(_over(self.velocity, 2 * e) + e * self.score / 2)

    def best_constant(self) -> float:
        r"""Return the constant :math:`\epsilon^* = \sqrt{\int V / \int S}` that minimises both.

        The cross term of the first bound does not depend on epsilon.

        Raises:
            ValueError: A score without error, for which more noise is always better.
        """
        total = self._integral(self.score)
        if not total > 0:
            raise ValueError("FieldErrors: expected an error of the score, got none")
        return float((self._integral(self.velocity) / total) ** 0.5)

    def best_schedule(self, largest: float = 10.0) -> TabulatedEpsilon:
        r"""Return :math:`\epsilon^*(t) = \sqrt{V(t) / S(t)}`, which minimises both bounds.

        Args:
            largest: epsilon is at most this, for the sake of the solver.
        """
        best = _over(self.velocity, self.score).sqrt().clamp(max=largest)
        return TabulatedEpsilon(self.times, best)

    def _on_times(self, epsilon: Epsilon) -> Tensor:
        return torch.stack([epsilon(t) for t in self.times]).to(self.velocity)

    def _integral(self, values: Tensor) -> float:
        return float(torch.trapezoid(values, self.times.to(values)))


def field_errors(
    exact: SampledProcess,
    learned: Process,
    times: Tensor,
    num_samples: int,
    *,
    generator: torch.Generator,
) -> FieldErrors:
    """Measure the errors of learned fields where the true ones are known.

    Args:
        exact: The truth; its samples have the dtype of its parameters.
        learned: Called with these samples.
        times: ``(times,)``, increasing, inside of (0, 1).
        num_samples: Of each time.
        generator: On the device of the exact process.

    Raises:
        ValueError: Times that do not increase, or fewer than two.
    """

    def draw(count: int, t: Tensor, generator: torch.Generator) -> Tensor:
        return exact.sample(count, t, generator=generator)

    return _compared(exact, learned, draw, times, num_samples, generator)


def field_differences(
    reference: Process,
    learned: Process,
    coupling: Coupling,
    times: Tensor,
    num_samples: int,
    *,
    generator: torch.Generator,
) -> FieldErrors:
    r"""Measure how far learned fields are from better ones, at draws of the interpolant.

    Data alone cannot tell the error of a field: its loss has an unknown minimum. In the norm of
    :math:`L^2(\rho_t)` the result differs from the true error by at most the error of the
    reference, so it is of use when the reference is much better. What is certain is half of the
    squared error, at least: the held-out loss of the field minus that of any other field.

    Args:
        reference: Fields of a larger network, or one that was trained for longer.
        learned: On the same interpolant.
        coupling: Draws the ends, without a condition.
        times: ``(times,)``, increasing, inside of (0, 1).
        num_samples: Pairs of each time.
        generator: On the device of the fields.

    Raises:
        ValueError: Times that do not increase, fewer than two, or a coupling with a condition.
    """

    def draw(count: int, t: Tensor, generator: torch.Generator) -> Tensor:
        pairs = coupling.draw(count, generator)
        if pairs.condition is not None:
            raise ValueError("field_differences: expected a coupling without a condition")
        x1 = pairs.x1
        z = torch.randn(x1.shape, generator=generator, device=generator.device, dtype=x1.dtype)
        return reference.interpolant.point(t, pairs.x0, x1, z)

    return _compared(reference, learned, draw, times, num_samples, generator)


class KlEstimate(NamedTuple):
    """A mean over samples, in nats, and the standard error of it."""

    value: float
    standard_error: float


def kl_monte_carlo(log_p: Tensor, log_q: Tensor) -> KlEstimate:
    """Estimate KL(p || q) by the mean of log p - log q over samples of p.

    Args:
        log_p: Log densities at samples of p, ``(samples,)``.
        log_q: Those of q at the same samples.

    Raises:
        ValueError: Different shapes, or fewer than two samples.
    """
    if log_p.shape != log_q.shape or log_p.ndim != 1 or len(log_p) < 2:
        raise ValueError(
            f"kl_monte_carlo: expected two vectors of at least 2 log densities, got "
            f"{tuple(log_p.shape)} and {tuple(log_q.shape)}"
        )
    ratio = (log_p - log_q).double()
    return KlEstimate(float(ratio.mean()), float(ratio.std() / len(ratio) ** 0.5))


def kl_on_grid(log_p: Tensor, log_q: Tensor, points: Tensor) -> float:
    """Integrate p (log p - log q) over a line by the trapezoidal rule.

    Args:
        log_p: Log densities at the points, ``(points,)``.
        log_q: Those of q.
        points: Increasing, and so far apart that p is nothing outside.
    """
    p = log_p.exp()
    return float(torch.trapezoid(torch.where(p > 0, p * (log_p - log_q), 0.0), points))


def _compared(
    reference: Process,
    learned: Process,
    draw: _Sampler,
    times: Tensor,
    num_samples: int,
    generator: torch.Generator,
) -> FieldErrors:
    if times.ndim != 1 or len(times) < 2 or not (times.diff() > 0).all():
        raise ValueError(f"expected at least 2 increasing times, got {times.tolist()}")
    rows = [_at_time(reference, learned, draw(num_samples, t, generator), t) for t in times]
    return FieldErrors(times, *torch.stack(rows, dim=1))


@torch.no_grad()
def _at_time(reference: Process, learned: Process, x: Tensor, t: Tensor) -> Tensor:
    """Return the mean squares of the velocity and the score, and the mean product."""
    found, true = velocity_and_score(learned, x, t), velocity_and_score(reference, x, t)
    b, s = ((a - c).flatten(1).double() for a, c in zip(found, true, strict=True))
    products = (b**2, s**2, b * s)
    return torch.stack([product.sum(1).mean() for product in products]).cpu()


def _over(a: Tensor, b: Tensor) -> Tensor:
    """Return a / b, infinite for b = 0, but 0 where a = 0."""
    return torch.where(a == 0, 0.0, a / b)
