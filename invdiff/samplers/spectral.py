"""The measurement in the basis of the right singular vectors, one number per direction."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from operators import SVDOperator

__all__ = ["SpectralData", "spectral_data"]


class SpectralData(NamedTuple):
    r"""Noisy coordinates of the image: y = V^H x + level n in the directions that are observed.

    The decomposition is thin: what of x lies outside the columns of V is not observed either.

    Args:
        operator: A = U diag(s) V^H.
        y: :math:`U^H t / s`, shape ``(*problems, *singular_values.shape)``; 0 where s is 0.
        level: :math:`\sigma_y / s` in the units of x, shape ``singular_values.shape``; infinite
            where s is 0 (at most 1e-6 of the largest, as for the pseudo-inverse).
    """

    operator: SVDOperator
    y: Tensor
    level: Tensor

    def coordinates(self, x: Tensor) -> Tensor:
        """Return V^H x, shape ``(*batch, *singular_values.shape)``."""
        return self.operator.Vh(x)

    def moved(self, x: Tensor, change: Tensor) -> Tensor:
        """Return x + V change: other coordinates, the same rest."""
        return x + self.operator.V(change)


def spectral_data(likelihood: Likelihood, name: str) -> SpectralData:
    """Return the measurement in the basis of the singular vectors.

    Args:
        likelihood: Of an operator with a known SVD and noise of one level.
        name: Of the sampler, for the message.

    Raises:
        ValueError: An operator without an SVD, or noise whose level varies.
    """
    operator, precision = likelihood.operator, likelihood.precision
    if not isinstance(operator, SVDOperator):
        raise ValueError(
            f"{name}: expected an operator with a known SVD, got {type(operator).__name__}: "
            "use diffpir, dds, daps or red-diff"
        )
    if precision.ndim:
        raise ValueError(
            f"{name}: expected noise of one level, got {type(likelihood.noise).__name__} with "
            f"precisions of shape {tuple(precision.shape)}"
        )
    s = operator.singular_values.to(precision)
    seen = s > 1e-6 * s.max()
    inverse = torch.where(seen, 1 / torch.where(seen, s, 1.0), 0.0)
    level = torch.where(seen, precision.rsqrt() * inverse, torch.inf)
    return SpectralData(operator, inverse * operator.Uh(likelihood.target), level)
