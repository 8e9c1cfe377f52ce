"""The measurement as a function of the image: operator, noise and data bound together."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from invdiff.linalg import conjugate_gradient, expand_right, operator_norm
from invdiff.rng import derive_generator
from operators import LinearOperator, NoiseModel, SVDOperator

__all__ = ["Likelihood"]


class Likelihood:
    r"""p(y | x) for measurements y of one or many problems.

    Where a method needs a quadratic, such as the proximal step, it takes the noise model's
    Gaussian surrogate :math:`\tfrac12 \|t - A x\|_W^2` (exact for Gaussian noise, where t = y).

    Args:
        operator: A.
        noise: Noise model; it alone says how strong the noise is.
        y: Measurements, shape ``(*problems, *operator.out_shape)``.

    Attributes:
        batch_shape: Shape of the problems, ``()`` for one.
        target: t, in the shape of y.
        precision: The diagonal of W, broadcasting against y.

    Raises:
        ValueError: y has another shape or kind than the operator gives, is not finite, or holds
            values that the noise model cannot produce.
    """

    def __init__(self, operator: LinearOperator, noise: NoiseModel, y: Tensor) -> None:
        self._bind(operator, noise, _checked(operator, y))
        noise.check(y)

    def _bind(self, operator: LinearOperator, noise: NoiseModel, y: Tensor) -> None:
        self.operator, self.noise, self.y = operator, noise, y
        self.batch_shape = tuple(y.shape[: y.ndim - len(operator.out_shape)])
        self._out_axes = tuple(range(-len(operator.out_shape), 0))

    # these wait until they are asked for: measurements may be too large to be processed at once
    @cached_property
    def _quadratic(self) -> tuple[Tensor, Tensor]:
        return self.noise.quadratic(self.y)

    @property
    def target(self) -> Tensor:
        """The measurement t of the Gaussian surrogate."""
        return self._quadratic[0]

    @property
    def precision(self) -> Tensor:
        """The diagonal of W."""
        return self._quadratic[1]

    @cached_property
    def weighted_adjoint(self) -> Tensor:
        """A^H W t, the constant part of every quadratic step."""
        return self.operator.adjoint(self.precision * self.target)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Trailing shape of x."""
        return self.operator.in_shape

    @property
    def spectral_operator(self) -> SVDOperator | None:
        """The operator if A^H W A is diagonal in a known basis, as with an SVD and one level."""
        known = isinstance(self.operator, SVDOperator) and self.precision.ndim == 0
        return self.operator if known else None  # type: ignore[return-value]

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(y | x), normalised, for x ``(*batch, *image_shape)``; shape ``batch``."""
        return self.noise.log_prob(self.y, self.operator(x)).sum(self._out_axes)

    def score(self, x: Tensor) -> Tensor:
        r"""Return :math:`\nabla_x \log p(y | x)`, in the shape of x, of the exact noise model."""
        with torch.enable_grad():
            clean = self.operator(x.detach()).requires_grad_()
            (slope,) = torch.autograd.grad(self.noise.log_prob(self.y, clean).sum(), clean)
        return self.operator.adjoint(slope)

    def residual(self, x: Tensor) -> Tensor:
        """Return t - A x, in the units of A x (of y itself for Gaussian noise)."""
        return self.target - self.operator(x)

    def quadratic_score(self, x: Tensor) -> Tensor:
        """Return A^H W (t - A x), the score of the Gaussian surrogate."""
        return self.weighted_adjoint - self.weighted_normal(x)

    def weighted_normal(self, x: Tensor) -> Tensor:
        """Return A^H W A x."""
        if self.precision.ndim == 0:
            return self.precision * self.operator.normal(x)
        return self.operator.adjoint(self.precision * self.operator(x))

    def norm(self) -> Tensor:
        r"""Return :math:`\|W^{1/2} A\|`, shape ``problems``, by power iteration from below."""
        num_dims = len(self.image_shape)
        # one fixed start for all: a problem must not depend on the others of its batch
        draws = torch.randn(
            self.image_shape, generator=derive_generator(0, "norm"), dtype=torch.float64
        )
        start = draws.to(self.weighted_adjoint).expand_as(self.weighted_adjoint)
        norm = operator_norm(self.weighted_normal, start, num_dims=num_dims)
        return norm.reshape(self.batch_shape)

    def residual_over_noise(self, x: Tensor) -> Tensor:
        r"""Return :math:`\sqrt{\|t - A x\|_W^2 / m}`: 1 where x explains y up to its noise.

        m counts real numbers, two for a complex entry. Shape ``batch``.
        """
        r = self.residual(x)
        squared = r.real**2 + r.imag**2 if r.is_complex() else r**2
        degrees = 2 if r.is_complex() else 1
        return (self.precision * squared).mean(self._out_axes).div(degrees).sqrt()

    def proximal(
        self,
        x: Tensor,
        step: Tensor | float,
        *,
        num_steps: int = 200,
        tolerance: float = 1e-5,
    ) -> Tensor:
        r"""Return the compromise between x and the data.

        .. math:: \arg\min_z \tfrac12 \|t - A z\|_W^2 + \tfrac{1}{2 \tau} \|z - x\|^2

        Closed form for an operator with a known SVD and noise of one level; conjugate gradients
        started at x otherwise.

        Args:
            x: Shape ``(*batch, *image_shape)``.
            step: tau in squared units of x; a number, or one per image, shape ``batch``.
            num_steps: Limit on the conjugate gradient steps.
            tolerance: Of their relative residual; 0 makes exactly ``num_steps`` without a check.

        Warns:
            NumericalWarning: The tolerance was not reached.
        """
        tau = torch.as_tensor(step, dtype=x.dtype.to_real(), device=x.device)
        if self.spectral_operator is not None:
            return self._spectral_proximal(self.spectral_operator, x, tau)
        num_dims = len(self.image_shape)
        tau = expand_right(tau, num_dims)
        # (1 + tau A^H W A) z = x + tau A^H W t, solved for the change z - x
        change = conjugate_gradient(
            lambda z: z + tau * self.weighted_normal(z),
            tau * self.quadratic_score(x),
            num_dims=num_dims,
            num_steps=num_steps,
            tolerance=tolerance,
        )
        return x + change

    def _spectral_proximal(self, operator: SVDOperator, x: Tensor, tau: Tensor) -> Tensor:
        s = operator.singular_values.to(x.dtype.to_real())
        tau = expand_right(tau, s.ndim)
        # not V^H of the score: its rounding, where s is nearly 0, would grow by tau W s_max
        residual = operator.Uh(self.target) - s * operator.Vh(x)
        weight = tau * self.precision * s
        return x + operator.V(weight / (1 + weight * s) * residual)


def _checked(operator: LinearOperator, y: Tensor) -> Tensor:
    name, expected = type(operator).__name__, operator.out_shape
    if not isinstance(operator, LinearOperator):
        raise ValueError(f"operator: expected a LinearOperator, got {name}")
    if y.ndim < len(expected) or y.shape[y.ndim - len(expected) :] != expected:
        raise ValueError(
            f"measurement: {name} gives trailing shape {expected}, got {tuple(y.shape)}"
        )
    if y.is_complex() != operator.out_complex or not (y.is_complex() or y.is_floating_point()):
        kind = "complex" if operator.out_complex else "real floating-point"
        raise ValueError(f"measurement: {name} gives {kind} values, got {y.dtype}")
    return y
