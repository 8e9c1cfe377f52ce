"""How well a super-resolution prior denoises and draws what it hasn't seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from invdiff.metrics import psnr
from invdiff.study.scripted import Arrays
from invdiff.superres.network_prior import SuperResolutionPrior
from invdiff.superres.ode import SuperResolutionOde

__all__ = ["decibels", "denoising_errors", "drawn_samples"]

# width of [-1, 1]
_RANGE = 2.0


def decibels(mean_square: ArrayLike) -> NDArray[np.float64]:
    """Return the PSNR of mean square errors of images in [-1, 1]."""
    return 10 * np.log10(_RANGE**2 / np.asarray(mean_square, dtype=np.float64))


@torch.no_grad()
def denoising_errors(
    prior: SuperResolutionPrior, fine: Tensor, sigmas: Sequence[float], generator: torch.Generator
) -> Arrays:
    r"""Return mean square errors over all images and pixels, one for each noise level.

    Args:
        prior: D.
        fine: Images ``(images, height, width)`` in [-1, 1].
        sigmas: Noise levels.
        generator: Of the noise.

    Returns:
        ``bicubic``, the error r of Uy, which no noise enters; ``denoised``, that of D; and
        ``shrunk``, that of :math:`Uy + \frac{r}{r + \sigma^2} (x - Uy)`, the best that can be done
        with the spread of the residual alone: what a network that says nothing gives.
    """
    y = prior.operator((fine.shape[-2], fine.shape[-1]))(fine)
    up = prior.center(y)
    spread = ((up - fine) ** 2).mean()
    errors: dict[str, list[Tensor]] = {"bicubic": [], "denoised": [], "shrunk": []}
    for sigma in torch.tensor(sigmas, dtype=torch.float64):
        level = sigma.to(fine)
        noise = torch.randn(fine.shape, generator=generator, device=generator.device)
        x = fine + level * noise.to(fine)
        shrunk = up + spread / (spread + level**2) * (x - up)
        guesses = {"bicubic": up, "denoised": prior(x, level, y), "shrunk": shrunk}
        for name, guess in guesses.items():
            errors[name].append(((guess - fine) ** 2).mean())
    return {name: torch.stack(values).double().cpu().numpy() for name, values in errors.items()}


@torch.no_grad()
def drawn_samples(
    ode: SuperResolutionOde,
    prior: SuperResolutionPrior,
    fine: Tensor,
    count: int,
    generator: torch.Generator,
) -> Arrays:
    """Draw images from random boundary conditions.

    Args:
        ode: h, of the prior.
        prior: Whose operator makes the coarse images.
        fine: Images ``(images, height, width)`` in [-1, 1].
        count: Samples for each of them.
        generator: Of the boundaries.

    Returns:
        ``truth``, ``coarse``, ``bicubic``, ``samples`` ``(count, images, height, width)``, and
        ``psnr_bicubic``, ``psnr_samples``, ``psnr_mean`` in dB.
    """
    y = prior.operator((fine.shape[-2], fine.shape[-1]))(fine)
    up = prior.center(y)
    shape = (count, *fine.shape)
    boundaries = torch.randn(shape, generator=generator, device=generator.device).to(fine)
    samples = torch.stack([ode(boundary, y) for boundary in boundaries])
    images = {"truth": fine, "coarse": y, "bicubic": up, "samples": samples}
    guesses = {"bicubic": up, "samples": samples, "mean": samples.mean(0)}
    scores = {f"psnr_{k}": psnr(g, fine, data_range=_RANGE) for k, g in guesses.items()}
    return {name: value.float().cpu().numpy() for name, value in (images | scores).items()}
