"""Least squares, ended where the data are explained up to their noise."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor

from invdiff.classical.direct import find_operator
from invdiff.likelihood import Likelihood
from invdiff.linalg import cg_iterates, expand_right
from operators import CartesianMRI

__all__ = ["cg_sense", "least_squares"]


def least_squares(
    likelihood: Likelihood, *, max_steps: int = 100, noise_factor: float = 1.0
) -> Tensor:
    r"""Minimise :math:`\|t - A x\|_W^2` by conjugate gradients from 0, stopped by the noise.

    Early stopping is the regularisation: each problem keeps its first iterate whose residual over
    noise is at most ``noise_factor`` (the discrepancy principle, :cite:t:`morozov1966`); the
    residual never grows with the steps.

    Args:
        likelihood: One problem or a batch.
        max_steps: Steps if the noise level is never reached.
        noise_factor: The residual over noise that is aimed at.

    Returns:
        Images, shape ``(*problems, *image_shape)``.
    """
    num_dims = len(likelihood.image_shape)
    iterates = cg_iterates(
        likelihood.weighted_normal, likelihood.weighted_adjoint, num_dims=num_dims
    )
    kept, _ = next(iterates)
    for x, _ in islice(iterates, max_steps):
        unexplained = likelihood.residual_over_noise(kept) > noise_factor
        if not bool(unexplained.any()):
            break
        kept = torch.where(expand_right(unexplained, num_dims), x, kept)
    return kept


def cg_sense(likelihood: Likelihood, *, max_steps: int = 100) -> Tensor:
    """Reconstruct multi-coil MR by least squares (:cite:t:`pruessmann2001`).

    Args:
        likelihood: Cartesian MRI, over real or complex images.
        max_steps: Conjugate gradient steps if the noise level is never reached.

    Returns:
        Images, shape ``(*problems, *image_shape)``.

    Raises:
        ValueError: The operator is no MRI.
    """
    find_operator(likelihood.operator, CartesianMRI)
    return least_squares(likelihood, max_steps=max_steps)
