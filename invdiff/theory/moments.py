"""Mean and spread of samples against those of the exact posterior, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.samplers import Samples
from invdiff.theory.diffused import ExactPrior

__all__ = ["exact_std", "mean_error_floor", "mean_error_in_sd", "std_ratio"]


def exact_std(posterior: ExactPrior) -> Tensor:
    """Return the exact standard deviation of each pixel, shape ``image_shape``."""
    return torch.diagonal(posterior.covariance()).sqrt().reshape(posterior.image_shape)


def std_ratio(samples: Samples, std: Tensor, mask: Tensor | None = None) -> float:
    r"""Return sampled over exact standard deviation, the mean over the pixels of the mask.

    1 is calibrated, 0.5 claims half of the true uncertainty. N Gaussian samples of equal weight
    scatter by :math:`1 / \sqrt{2 (N - 1)}` about :math:`1 - 1 / (4 N)` in each pixel.

    Args:
        samples: Of one problem.
        std: Exact, positive, shape ``image_shape``.
        mask: Pixels that count; all if not given.
    """
    return float(_chosen(samples.std() / std, mask).mean())


def mean_error_in_sd(
    samples: Samples, mean: Tensor, std: Tensor, mask: Tensor | None = None
) -> float:
    """Return the error of the mean in exact standard deviations, the root mean square over pixels.

    Exact samples don't reach 0 but ``mean_error_floor``.

    Args:
        samples: Of one problem.
        mean: Exact, shape ``image_shape``.
        std: Exact, positive.
        mask: Pixels that count; all if not given.
    """
    return float(_chosen((samples.mean() - mean) / std, mask).square().mean().sqrt())


def mean_error_floor(samples: Samples) -> float:
    r"""Return :math:`(\sum_i w_i^2)^{1/2}`: the mean error in sd of independent exact samples."""
    return float((2 * samples.log_weights.double().log_softmax(0)).logsumexp(0).exp().sqrt())


def _chosen(image: Tensor, mask: Tensor | None) -> Tensor:
    return image if mask is None else image[mask]
