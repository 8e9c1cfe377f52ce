"""How far a reconstruction is from the truth, one number per image."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["nrmse", "psnr", "ssim"]


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
