"""The Gaussian that data leave of an isotropic one: solve with its precision, draw, integrate."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import conjugate_gradient, expand_right
from invdiff.rng import Population
from operators import SVDOperator

__all__ = [
    "log_determinant",
    "real_multiplicity",
    "sample",
    "solve",
    "spectrum",
]


def spectrum(likelihood: Likelihood, operator: SVDOperator) -> Tensor:
    """Return the eigenvalues of A^H W A that may differ from 0, in the shape of coordinates."""
    s = operator.singular_values.to(likelihood.weighted_adjoint.dtype.to_real())
    return likelihood.precision.to(s) * s**2


def solve(
    likelihood: Likelihood,
    alpha: Tensor | float,
    beta: Tensor | float,
    b: Tensor,
    *,
    num_cg: int = 20,
) -> Tensor:
    r"""Return :math:`(\alpha A^H W A + \beta)^{-1} b`.

    In the singular basis where it is known, by conjugate gradients from zero otherwise.

    Args:
        likelihood: A and W.
        alpha: Not negative; a number, or one per problem or image, of the leading shape of b.
        beta: Positive, as alpha.
        b: Shape ``(*batch, *image_shape)``.
        num_cg: Conjugate gradient steps.
    """
    num_dims = len(likelihood.image_shape)
    alpha, beta = _per_image(alpha, b, num_dims), _per_image(beta, b, num_dims)
    operator = likelihood.spectral_operator
    if operator is None:
        ratio = alpha / beta
        # eigenvalues from 1 up
        return conjugate_gradient(
            lambda z: z + ratio * likelihood.weighted_normal(z),
            b / beta,
            num_dims=num_dims,
            num_steps=num_cg,
        )
    values = spectrum(likelihood, operator)
    gain = _like_coordinates(alpha / beta, num_dims, values.ndim) * values
    outside = b / beta
    return outside - operator.V(operator.Vh(outside) * (gain / (1 + gain)))


def sample(
    likelihood: Likelihood,
    alpha: Tensor | float,
    beta: Tensor | float,
    source: Population,
    num_samples: int,
    *,
    num_cg: int = 20,
) -> Tensor:
    r"""Draw from N(0, :math:`(\alpha A^H W A + \beta)^{-1}`), ``(num_samples, *problems, *image)``.

    Without a known basis a solve for the right-hand side :math:`\sqrt\alpha A^H W^{1/2} n_1 +
    \sqrt\beta n_2`, whose covariance is the precision itself.

    Args:
        likelihood: A and W.
        alpha: Not negative; a number or one per problem.
        beta: Positive, as alpha.
        source: The streams of the problems.
        num_samples: Draws for each problem.
        num_cg: Conjugate gradient steps.
    """
    shape, like = likelihood.image_shape, likelihood.weighted_adjoint
    noise = source.normal(num_samples, shape, like)
    num_dims, operator = len(shape), likelihood.spectral_operator
    wide_alpha, wide_beta = _per_image(alpha, like, num_dims), _per_image(beta, like, num_dims)
    if operator is not None:
        values = spectrum(likelihood, operator)
        gain = _like_coordinates(wide_alpha / wide_beta, num_dims, values.ndim) * values
        outside = noise / wide_beta.sqrt()
        return outside + operator.V(operator.Vh(outside) * ((1 + gain).rsqrt() - 1))
    data_noise = source.normal(num_samples, likelihood.operator.out_shape, likelihood.target)
    weighted = likelihood.operator.adjoint(likelihood.precision.sqrt() * data_noise)
    pull = wide_alpha.sqrt() * weighted + wide_beta.sqrt() * noise
    return solve(likelihood, alpha, beta, pull, num_cg=num_cg)


def log_determinant(likelihood: Likelihood, ratio: Tensor | float) -> Tensor | None:
    r"""Return :math:`\log |1 + r A^H W A|` over real coordinates, float64; None without the SVD.

    Args:
        likelihood: A and W.
        ratio: r, a number.
    """
    operator = likelihood.spectral_operator
    if operator is None:
        return None
    values = spectrum(likelihood, operator).double()
    return real_multiplicity(operator) * torch.log1p(values * ratio).sum()


def real_multiplicity(operator: SVDOperator) -> int:
    """Return how many real dimensions a coordinate has."""
    return 2 if operator.in_complex and operator.out_complex else 1


def _per_image(value: Tensor | float, like: Tensor, num_dims: int) -> Tensor:
    value = torch.as_tensor(value, dtype=like.dtype.to_real(), device=like.device)
    return expand_right(value, num_dims)


def _like_coordinates(value: Tensor, num_dims: int, num_coordinates: int) -> Tensor:
    """Give a batch of numbers the trailing axes of coordinates instead of those of images."""
    if value.ndim == 0:
        return value
    return expand_right(value.reshape(value.shape[: value.ndim - num_dims]), num_coordinates)
