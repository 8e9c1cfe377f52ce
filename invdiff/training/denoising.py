"""How well a prior removes noise from images that it hasn't seen, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.priors.denoiser import Denoiser, half_range
from invdiff.rng import derive_generator, draw_seeds

__all__ = ["DenoisingScores", "denoising_psnr"]


@dataclass(frozen=True, eq=False)
class DenoisingScores:
    """The errors of a denoiser on held-out images.

    Args:
        sigmas: Noise levels, in the units of the images.
        errors: Mean square error of each image over the square of the width of the data range,
            ``(levels, images)``, float64, on the CPU.
    """

    sigmas: tuple[float, ...]
    errors: Tensor

    @property
    def pooled(self) -> Tensor:
        r"""Return :math:`-10 \log_{10}` of the mean error of all pixels, in dB, ``(levels,)``."""
        return _decibel(self.errors.mean(1))

    @property
    def mean(self) -> Tensor:
        """Return the mean over the images of their PSNR in dB, ``(levels,)``."""
        return self.per_image.mean(1)

    @property
    def per_image(self) -> Tensor:
        """Return the PSNR in dB of each image, ``(levels, images)``."""
        return _decibel(self.errors)

    def by_subject(self, subjects: Sequence[str]) -> dict[str, DenoisingScores]:
        """Return the scores of each subject alone, by name, sorted.

        Args:
            subjects: Whose each image is.

        Raises:
            ValueError: Another number of subjects than images.
        """
        if len(subjects) != self.errors.shape[1]:
            raise ValueError(
                f"by_subject: expected {self.errors.shape[1]} subjects, got {len(subjects)}"
            )
        rows = {name: [i for i, s in enumerate(subjects) if s == name] for name in subjects}
        return {
            name: DenoisingScores(self.sigmas, self.errors[:, rows[name]]) for name in sorted(rows)
        }


def denoising_psnr(
    denoiser: Denoiser,
    images: Tensor,
    sigmas: Sequence[float],
    *,
    generator: torch.Generator,
    batch_size: int = 16,
) -> DenoisingScores:
    r"""Measure a denoiser on images with noise of known levels.

    .. math:: \mathrm{PSNR}(\sigma) = -10 \log_{10}
        \frac{\mathbb{E}\, \|D(x_0 + \sigma n, \sigma) - x_0\|^2}{\dim\, (x_{max} - x_{min})^2}

    Each image has one draw of n, the same at all levels, that depends on the seed and the place
    of the image alone: generators in the same state compare denoisers on the same noise.

    Args:
        denoiser: D; its ``data_range`` is that of the images.
        images: x0, ``(images, *image)``, real.
        sigmas: Noise levels, in the units of the images.
        generator: The only source of randomness.
        batch_size: Images per call of the denoiser.

    Raises:
        ValueError: No images or levels, a level that is not positive, or a batch size below 1.
    """
    if images.ndim < 2 or 0 in images.shape or batch_size < 1:
        raise ValueError(
            "denoising_psnr: expected images (images, *image) and batch_size >= 1, "
            f"got {tuple(images.shape)} and {batch_size}"
        )
    if not sigmas or not all(0 < sigma < float("inf") for sigma in sigmas):
        raise ValueError(f"denoising_psnr: expected levels above 0, got {list(sigmas)}")
    (seed,) = draw_seeds(generator, 1)
    errors = []
    for first in range(0, len(images), batch_size):
        clean = images[first : first + batch_size]
        noise = _noise(clean, seed, first, generator.device)
        errors.append(torch.stack([_errors(denoiser, clean, noise, sigma) for sigma in sigmas]))
    width = 2 * half_range(denoiser)
    return DenoisingScores(tuple(map(float, sigmas)), torch.cat(errors, dim=1).cpu() / width**2)


def _noise(clean: Tensor, seed: int, first: int, device: torch.device) -> Tensor:
    draws = [
        torch.randn(
            clean.shape[1:], device=device, dtype=clean.dtype,
            generator=derive_generator(seed, first + i, device=device),
        )
        for i in range(len(clean))
    ]  # fmt: skip
    return torch.stack(draws).to(clean.device)


@torch.no_grad()
def _errors(denoiser: Denoiser, clean: Tensor, noise: Tensor, sigma: float) -> Tensor:
    level = torch.tensor(sigma, dtype=clean.dtype, device=clean.device)
    return (denoiser(clean + level * noise, level) - clean).double().square().flatten(1).mean(1)


def _decibel(errors: Tensor) -> Tensor:
    return -10 * errors.log10()
