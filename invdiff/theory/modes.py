"""How much of the posterior each mode got."""

from __future__ import annotations

from torch import Tensor

from invdiff.priors import SubspacePrior
from invdiff.theory.cloud import Cloud, weighted_points
from invdiff.theory.diffused import ExactPrior

__all__ = ["mode_weight_error", "mode_weights"]


def mode_weights(samples: Cloud, exact: ExactPrior) -> Tensor:
    r"""Return the share of the samples in each component, ``(K,)``.

    .. math:: \hat w_k = \sum_i w_i P(k \mid x_i),

    whose expectation over exact samples is the component's weight, also where modes overlap.

    Args:
        samples: Of one problem.
        exact: The distribution they should have.

    Raises:
        ValueError: Samples of other dimensions.
    """
    points, weights = weighted_points(samples)
    if points.shape[1:] != (exact.mean().numel(),):
        raise ValueError(
            f"mode_weights: samples have {points.shape[1]} numbers, the modes are in "
            f"{tuple(exact.image_shape)}"
        )
    images = points.reshape(-1, *exact.image_shape)
    return weights @ exact.responsibilities(images).to(weights)


def mode_weight_error(samples: Cloud, exact: ExactPrior) -> float:
    r"""Return the total variation :math:`\tfrac12 \sum_k |\hat w_k - w_k|`, from 0 to 1.

    N exact samples of well separated modes leave about
    :math:`\sum_k \sqrt{w_k (1 - w_k) / (2 \pi N)}`.
    """
    found = mode_weights(samples, exact)
    mixture = exact.latent if isinstance(exact, SubspacePrior) else exact
    return float((found - mixture.weights.to(found)).abs().sum()) / 2
