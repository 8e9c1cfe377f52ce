"""What a denoiser is trained to minimise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.priors.preconditioning import EDM, Network

__all__ = ["NoiseLevels", "edm_loss"]


@dataclass(frozen=True)
class NoiseLevels:
    r"""The noise levels of a training, :math:`\ln \sigma \sim N(m, s^2)`.

    Args:
        log_mean: m, of sigma in the units of the images.
        log_std: s.

    Raises:
        ValueError: ``log_std`` is not positive.
    """

    log_mean: float = -1.2
    log_std: float = 1.2

    def __post_init__(self) -> None:
        if not 0 < self.log_std < math.inf or not math.isfinite(self.log_mean):
            raise ValueError(f"NoiseLevels: expected log_std > 0, got {self.log_std}")

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return noise levels of shape ``(count, 1, 1, 1)``."""
        normal = torch.randn(count, 1, 1, 1, generator=generator, device=generator.device)
        return (self.log_mean + self.log_std * normal).exp()


def edm_loss(
    network: Network, clean: Tensor, preconditioning: EDM, levels: NoiseLevels,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    r"""Return the denoising loss of :cite:t:`karras2022`, eq. 8, one draw of noise for each image.

    .. math:: \mathbb{E}\, \lambda(\sigma)\, \|D(x_0 + \sigma n, \sigma) - x_0\|^2 / \dim,
        \qquad \lambda = (\sigma^2 + \sigma_d^2) / (\sigma \sigma_d)^2

    so that every noise level weighs alike at the start of a training.

    Args:
        network: F(c_in x, c_noise), what the preconditioning turns into D.
        clean: x0, ``(batch, channel, height, width)``.
        preconditioning: How F becomes D, with the standard deviation of x0.
        levels: Distribution of sigma.
        generator: On the device of the images.
    """
    sigma = levels.sample(len(clean), generator)
    noise = torch.randn(clean.shape, generator=generator, device=clean.device)
    denoised = preconditioning.denoise(network, clean + sigma * noise, sigma)
    data = preconditioning.sigma_data
    weight = (sigma**2 + data**2) / (sigma * data) ** 2
    return (weight * (denoised - clean) ** 2).mean()
