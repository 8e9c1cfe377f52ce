"""What a boundary condition is judged by: losses that need no network.

Every one is a ``Metric``: ``(image, truth)`` to one loss for each image, lower is better, and
differentiable in the image. Those of a unit take it as a keyword, so that
``functools.partial(one_minus_ssim, data_range=2.0)`` is a ``Metric``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from invdiff.metrics import ms_ssim, ssim

__all__ = [
    "gradient_similarity_deviation",
    "one_minus_ms_ssim",
    "one_minus_ssim",
    "squared_error",
    "squared_error_db",
]

# pixels along a side of what SSIM compares
_SSIM_WINDOW = 11
# of gradient similarity, for images of range 1: 170 for 8 bits in the paper
_GRADIENT_CONSTANT = 170 / 255**2
# gradients far below the noise of any image: keeps the magnitude of a flat one differentiable
_FLAT = 1e-10


def squared_error(
    image: Tensor, truth: Tensor, *, unit: float = 1.0, image_ndim: int = 2
) -> Tensor:
    r"""Return the mean square :math:`\overline{(x - x^*)^2} / u^2` of each image.

    Its best image is the posterior mean, which is smoother than any true one.

    Args:
        image: Shape ``(*batch, *image)``.
        truth: The same shape, or one that broadcasts against it.
        unit: u, such as half the data range.
        image_ndim: Axes of one image.

    Raises:
        ValueError: A unit that is not positive.
    """
    if not unit > 0:
        raise ValueError(f"squared_error: expected unit > 0, got {unit}")
    axes = tuple(range(-image_ndim, 0))
    return ((image - truth) / unit).square().mean(axes)


def squared_error_db(image: Tensor, truth: Tensor, *, data_range: float) -> Tensor:
    r"""Return the squared error in decibels, minus the PSNR: every image counts alike.

    .. math:: 10 \log_{10} \frac{\|x - x^*\|^2 / n}{R^2}

    The mean of squared errors is that of the few references with the strongest edges, and a search
    that minimises it says little of others.

    Args:
        image: ``(*batch, height, width)``.
        truth: The same shape, or one that broadcasts against it.
        data_range: R, in the units of the images.

    Raises:
        ValueError: ``data_range`` is not positive.
    """
    if not data_range > 0:
        raise ValueError(f"data_range: expected a positive number, got {data_range}")
    # exact images have no decibels
    error = squared_error(image, truth).clamp(min=torch.finfo(image.dtype).tiny)
    return 10 * (error / data_range**2).log10()


def one_minus_ssim(image: Tensor, truth: Tensor, *, data_range: float) -> Tensor:
    """Return one minus the structural similarity, see ``invdiff.metrics.ssim``.

    Args:
        image: Shape ``(*batch, height, width)``, both at least 11; real.
        truth: The same shape, or one that broadcasts against it.
        data_range: In the units of the images.

    Raises:
        ValueError: Smaller images, or a data range that is not positive.
    """
    if min(image.shape[-2:]) < _SSIM_WINDOW:
        raise ValueError(
            f"one_minus_ssim: expected sides of at least {_SSIM_WINDOW}, got "
            f"{tuple(image.shape[-2:])}"
        )
    return (1 - ssim(image, truth, data_range=data_range)).to(image.dtype)


def one_minus_ms_ssim(image: Tensor, truth: Tensor, *, data_range: float) -> Tensor:
    """Return one minus the similarity over several scales, see ``invdiff.metrics.ms_ssim``.

    Args:
        image: Shape ``(*batch, height, width)``, both at least 11; real. Five scales from sides
            of 176 on, fewer below.
        truth: The same shape, or one that broadcasts against it.
        data_range: In the units of the images.

    Raises:
        ValueError: Smaller images, or a data range that is not positive.
    """
    return (1 - ms_ssim(image, truth, data_range=data_range)).to(image.dtype)


def gradient_similarity_deviation(image: Tensor, truth: Tensor, *, data_range: float) -> Tensor:
    r"""Return the deviation of the gradient magnitude similarity over the image, GMSD.

    .. math:: \operatorname{std}\!\left(\frac{2 m m^* + c}{m^2 + m^{*2} + c}\right)

    with m the magnitude of Prewitt gradients at half resolution :cite:p:`xue2014`. It sees edges
    only: images that differ by a constant have distance 0. Its gradient at equality, where the
    deviation has a kink, is given as 0.

    Args:
        image: Shape ``(*batch, height, width)``, both at least 2; real.
        truth: The same shape, or one that broadcasts against it.
        data_range: In the units of the images.

    Raises:
        ValueError: A data range that is not positive.
    """
    if not data_range > 0:
        raise ValueError(f"data_range: expected a positive number, got {data_range}")
    m, n = (_gradient_magnitude(v / data_range) for v in (image, truth))
    similarity = (2 * m * n + _GRADIENT_CONSTANT) / (m * m + n * n + _GRADIENT_CONSTANT)
    variance = similarity.var((-2, -1), correction=0)
    positive = variance > 0
    return torch.where(positive, torch.where(positive, variance, 1.0).sqrt(), 0.0)


def _gradient_magnitude(image: Tensor) -> Tensor:
    """Return the magnitude at half resolution, ``(*batch, height / 2, width / 2)``."""
    half = avg_pool2d(image.reshape(-1, 1, *image.shape[-2:]), 2)
    across = torch.tensor([[1.0, 0.0, -1.0]], dtype=image.dtype, device=image.device)
    prewitt = across.expand(3, 3) / 3
    kernels = torch.stack([prewitt, prewitt.mT]).unsqueeze(1)
    gradient = conv2d(pad(half, (1, 1, 1, 1), mode="replicate"), kernels)
    magnitude = (gradient.square().sum(1) + _FLAT).sqrt()
    return magnitude.reshape(*image.shape[:-2], *magnitude.shape[-2:])
