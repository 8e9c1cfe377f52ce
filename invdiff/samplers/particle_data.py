"""The data term as a particle system sees it: energy, gradient, Laplacian and exact flows."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import conjugate_gradient, inner
from invdiff.rng import Population
from invdiff.samplers.tilted_gaussian import real_multiplicity, spectrum
from operators import SVDOperator

__all__ = ["DataTerm", "GeneralData", "GeneralLikelihood", "LinearData", "data_term", "draw_probes"]

# of the central difference along a probe, relative to the size of the image
_DIFFERENCE = 1e-3


class GeneralLikelihood(Protocol):
    """What a likelihood of a nonlinear operator must offer; ``Likelihood`` does, too.

    Attributes:
        y: Measurements; images are real numbers of their precision.
        batch_shape: Shape of the problems.
        image_shape: Trailing shape of x.
    """

    @property
    def y(self) -> Tensor: ...  # noqa: D102

    @property
    def batch_shape(self) -> tuple[int, ...]: ...  # noqa: D102

    @property
    def image_shape(self) -> tuple[int, ...]: ...  # noqa: D102

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(y | x), shape ``batch``."""
        ...

    def score(self, x: Tensor) -> Tensor:
        """Return the gradient of ``log_prob``, in the shape of x."""
        ...


class DataTerm(abc.ABC):
    r"""The energy :math:`\mu` of particles ``(N, *problems, *image_shape)``."""

    like: Tensor
    image_shape: tuple[int, ...]

    @abc.abstractmethod
    def energy(self, x: Tensor) -> Tensor:
        r"""Return :math:`\mu`, float64, ``(N, *problems)``."""

    @abc.abstractmethod
    def gradient(self, x: Tensor) -> Tensor:
        r"""Return :math:`\nabla \mu`, in the shape of x."""

    @abc.abstractmethod
    def laplacian(self, x: Tensor, probes: Tensor | None) -> Tensor:
        r"""Return :math:`\Delta \mu` over real coordinates, broadcasting against ``energy``."""

    @abc.abstractmethod
    def contract(self, x: Tensor, time: Tensor, probes: Tensor | None) -> tuple[Tensor, Tensor]:
        r"""Follow :math:`\dot x = -\nabla \mu`; return x and the log determinant of the map."""

    @abc.abstractmethod
    def langevin(
        self, x: Tensor, score: Tensor, alpha: Tensor, time: Tensor, noise: Tensor
    ) -> Tensor:
        r"""Follow :math:`dx = (s - \alpha \nabla \mu) dt + \sqrt 2\, dW` with a constant s."""

    @abc.abstractmethod
    def correction(self, x: Tensor) -> Tensor:
        r"""Return :math:`\log p(y | x) + \mu(x)`, float64, ``(N, *problems)``."""


@dataclass(frozen=True, eq=False)
class LinearData(DataTerm):
    r""":math:`\mu = \tfrac12 \|t - A x\|_W^2`, whose flows are exact in the singular basis.

    Without a known basis ``langevin`` is the trapezoidal rule, which still leaves a Gaussian
    invariant at any step, and ``contract`` the implicit Euler rule; the log determinant of the
    latter is not known then and left out: it is the same for all particles.

    Args:
        likelihood: A, W, t.
        num_cg: Conjugate gradient steps where the basis is not known.
    """

    likelihood: Likelihood
    num_cg: int

    @property
    def like(self) -> Tensor:  # type: ignore[override]
        """An image of each problem, for its type and device."""
        return self.likelihood.weighted_adjoint

    @property
    def image_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Trailing shape of x."""
        return self.likelihood.image_shape

    @property
    def spectral(self) -> SVDOperator | None:
        """The operator if its basis is that of the quadratic."""
        return self.likelihood.spectral_operator

    def energy(self, x: Tensor) -> Tensor:  # noqa: D102
        r = self.likelihood.residual(x)
        squared = (self.likelihood.precision * (r * r.conj()).real).double()
        return self._summed(squared) / 2

    def gradient(self, x: Tensor) -> Tensor:  # noqa: D102
        return -self.likelihood.quadratic_score(x)

    def laplacian(self, x: Tensor, probes: Tensor | None) -> Tensor:  # noqa: D102
        if self.spectral is not None:
            values = spectrum(self.likelihood, self.spectral).double()
            return real_multiplicity(self.spectral) * values.sum()
        assert probes is not None
        num_dims = len(self.image_shape)
        turned = inner(probes, self.likelihood.weighted_normal(probes), num_dims)
        return turned.double().mean(0).reshape(self.likelihood.batch_shape)

    def contract(  # noqa: D102
        self, x: Tensor, time: Tensor, probes: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        slope, operator = -time.to(x.real) * self.gradient(x), self.spectral
        if operator is None:
            change = self._solved(time.to(x.real), slope)
            return x + change, torch.zeros((), dtype=torch.float64, device=x.device)
        values = spectrum(self.likelihood, operator)
        change = slope + operator.V(operator.Vh(slope) * (_phi(time.to(values) * values) - 1))
        log_det = -time.double() * real_multiplicity(operator) * values.double().sum()
        return x + change, log_det

    def langevin(  # noqa: D102
        self, x: Tensor, score: Tensor, alpha: Tensor, time: Tensor, noise: Tensor
    ) -> Tensor:
        alpha, time = alpha.to(x.real), time.to(x.real)
        pull, spread = time * (score - alpha * self.gradient(x)), (2 * time).sqrt() * noise
        operator = self.spectral
        if operator is None:
            return x + self._solved(alpha * time / 2, pull + spread)
        rate = alpha * time * spectrum(self.likelihood, operator)
        along = operator.Vh(pull) * (_phi(rate) - 1)
        along = along + operator.Vh(spread) * (_phi(2 * rate).sqrt() - 1)
        return x + pull + spread + operator.V(along)

    def correction(self, x: Tensor) -> Tensor:  # noqa: D102
        density = self.likelihood.noise.log_prob(self.likelihood.y, self.likelihood.operator(x))
        return self._summed(density.double()) + self.energy(x)

    def _summed(self, entries: Tensor) -> Tensor:
        return entries.sum(tuple(range(-len(self.likelihood.operator.out_shape), 0)))

    def _solved(self, weight: Tensor, b: Tensor) -> Tensor:
        return conjugate_gradient(
            lambda z: z + weight * self.likelihood.weighted_normal(z),
            b,
            num_dims=len(self.image_shape),
            num_steps=self.num_cg,
        )


@dataclass(frozen=True, eq=False)
class GeneralData(DataTerm):
    r""":math:`\mu = -\log p(y | x)` of any likelihood, by Euler steps of its score.

    The Laplacian is a Hutchinson estimate, by central differences of the score along the probes.

    Args:
        likelihood: Such as one of a ``NonlinearOperator``.
    """

    likelihood: GeneralLikelihood

    @property
    def like(self) -> Tensor:  # type: ignore[override]
        """A number of the type and on the device of the images."""
        y = self.likelihood.y
        return y.real.new_zeros(())

    @property
    def image_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Trailing shape of x."""
        return self.likelihood.image_shape

    def energy(self, x: Tensor) -> Tensor:  # noqa: D102
        return -self.likelihood.log_prob(x).double()

    def gradient(self, x: Tensor) -> Tensor:  # noqa: D102
        return -self.likelihood.score(x)

    def laplacian(self, x: Tensor, probes: Tensor | None) -> Tensor:  # noqa: D102
        assert probes is not None
        num_dims = len(self.image_shape)
        size = x.abs().mean(tuple(range(-num_dims, 0)), keepdim=True)
        step = _DIFFERENCE * (size + _DIFFERENCE)
        total = torch.zeros(x.shape[: x.ndim - num_dims], dtype=torch.float64, device=x.device)
        for probe in probes:
            slope = self.gradient(x + step * probe) - self.gradient(x - step * probe)
            total += inner(probe.expand_as(x), slope / (2 * step), num_dims).reshape(total.shape)
        return total / len(probes)

    def contract(  # noqa: D102
        self, x: Tensor, time: Tensor, probes: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        log_det = -time.double() * self.laplacian(x, probes)
        return x - time.to(x) * self.gradient(x), log_det

    def langevin(  # noqa: D102
        self, x: Tensor, score: Tensor, alpha: Tensor, time: Tensor, noise: Tensor
    ) -> Tensor:
        pull = score - alpha.to(x) * self.gradient(x)
        return x + time.to(x) * pull + (2 * time.to(x)).sqrt() * noise

    def correction(self, x: Tensor) -> Tensor:  # noqa: D102
        count = x.ndim - len(self.image_shape)
        return torch.zeros(x.shape[:count], dtype=torch.float64, device=x.device)


def data_term(likelihood: Likelihood | GeneralLikelihood, num_cg: int) -> DataTerm:
    """Return the quadratic of a linear operator, or what any other likelihood allows."""
    if isinstance(likelihood, Likelihood):
        return LinearData(likelihood, num_cg)
    return GeneralData(likelihood)


def draw_probes(
    data: DataTerm, batch_shape: tuple[int, ...], num_probes: int, source: Population
) -> Tensor:
    """Return probes ``(num, *problems, *image_shape)`` with E[p p^T] = 1 over real coordinates.

    Random signs; the unit vectors, which leave no variance, if there are no more real pixels.
    """
    shape = data.image_shape
    pixels = torch.Size(shape).numel()
    if pixels <= num_probes and not data.like.is_complex():
        units = torch.eye(pixels, dtype=data.like.dtype, device=data.like.device) * pixels**0.5
        units = units.reshape(pixels, *(1,) * len(batch_shape), *shape)
        return units.expand(pixels, *batch_shape, *shape)
    draws = source.normal(num_probes, shape, data.like)
    if draws.is_complex():
        return torch.complex(draws.real.sign(), draws.imag.sign())
    return draws.sign()


def _phi(z: Tensor) -> Tensor:
    r"""Return :math:`(1 - e^{-z}) / z`, 1 at 0."""
    small = z.abs() < 1e-6
    safe = torch.where(small, 1.0, z)
    return torch.where(small, 1 - z / 2, -torch.expm1(-safe) / safe)
