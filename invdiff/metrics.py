"""How far a reconstruction is from the truth, one number per image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

__all__ = ["ms_ssim", "ms_ssim_scales", "nrmse", "psnr", "ssim"]

# exponents of the scales, from fine to coarse (Wang et al. 2003)
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SSIM_WINDOW = 11


def psnr(image: Tensor, truth: Tensor, *, data_range: float) -> Tensor:
    r"""Return :math:`20 \log_{10} (R / \mathrm{RMSE})` in dB.

    Args:
        image: Shape ``(*batch, height, width)``; real.
        truth: The same shape, or one that broadcasts against it.
        data_range: R, in the units of the images.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    images, truths, batch = _stacked(image, truth, data_range)
    values = peak_signal_noise_ratio(
        images, truths, data_range=float(data_range), dim=(1, 2, 3), reduction="none"
    )
    return values.reshape(batch)


def ssim(image: Tensor, truth: Tensor, *, data_range: float) -> Tensor:
    """Return the structural similarity (Wang et al. 2004; Gaussian window, sigma 1.5).

    Args:
        image: Shape ``(*batch, height, width)``, both at least 11; real.
        truth: The same shape, or one that broadcasts against it.
        data_range: In the units of the images.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    images, truths, batch = _stacked(image, truth, data_range)
    values = structural_similarity_index_measure(
        images, truths, data_range=float(data_range), reduction="none"
    )
    return torch.as_tensor(values).reshape(batch)


def ms_ssim(image: Tensor, truth: Tensor, *, data_range: float) -> Tensor:
    r"""Return the structural similarity over several scales :cite:p:`wang2003`.

    .. math:: \mathrm{SSIM}_S^{w_S} \prod_{s=1}^{S-1} \max(c_s, 0)^{w_s}

    with :math:`c_s` the mean contrast and structure term after s - 1 halvings. The number of
    scales S is that of ``ms_ssim_scales``; the published weights of the first S, divided by their
    sum, are the exponents, so that values for images of different sizes aren't the same measure.

    Args:
        image: Shape ``(*batch, height, width)``; real.
        truth: The same shape, or one that broadcasts against it.
        data_range: In the units of the images.

    Raises:
        ValueError: Sides below 11, or a data range that is not positive.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    images, truths, batch = _stacked(image, truth, data_range)
    weights = _SCALE_WEIGHTS[: ms_ssim_scales(images.shape[-2], images.shape[-1])]
    product = torch.ones(len(images), dtype=images.dtype, device=images.device)
    for scale, weight in enumerate(weights, 1):
        similarity, contrast = structural_similarity_index_measure(
            images, truths, data_range=float(data_range), reduction="none",
            return_contrast_sensitivity=True,
        )  # fmt: skip
        factor = similarity if scale == len(weights) else contrast
        product = product * torch.as_tensor(factor).relu() ** (weight / sum(weights))
        images, truths = avg_pool2d(images, 2), avg_pool2d(truths, 2)
    return product.reshape(batch)


def ms_ssim_scales(height: int, width: int) -> int:
    """Return the number of scales, at most 5, whose coarsest image still holds a window of 11.

    Five need sides of 176, four 88, three 44.

    Raises:
        ValueError: Sides below 11.
    """
    side = min(height, width)
    if side < _SSIM_WINDOW:
        raise ValueError(f"ms_ssim: expected sides of at least {_SSIM_WINDOW}, got {side}")
    return min(len(_SCALE_WEIGHTS), (side // _SSIM_WINDOW).bit_length())


def nrmse(image: Tensor, truth: Tensor) -> Tensor:
    r"""Return :math:`\|x - x^*\| / \|x^*\|`, shape ``batch``; images may be complex."""
    axes = (-2, -1)
    return torch.linalg.vector_norm(image - truth, dim=axes) / torch.linalg.vector_norm(
        truth, dim=axes
    )


def _stacked(image: Tensor, truth: Tensor, data_range: float) -> tuple[Tensor, Tensor, torch.Size]:
    if not data_range > 0:
        raise ValueError(f"data_range: expected a positive number, got {data_range}")
    common = torch.broadcast_shapes(image.shape, truth.shape)  # type: ignore[no-untyped-call]
    image, truth = image.expand(common), truth.expand(common)
    shape = (-1, 1, *image.shape[-2:])
    # float64: the variances of the SSIM cancel in float32 where an image is flat
    return image.double().reshape(shape), truth.double().reshape(shape), image.shape[:-2]
