"""What a denoiser is trained to minimise."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from invdiff.priors.preconditioning import EDM, Network, Preconditioning

__all__ = ["GaussianPerturbation", "LevelSource", "NoiseLevels", "Noisy", "Objective",
           "Perturbation", "edm_loss"]  # fmt: skip


class LevelSource(Protocol):
    """A distribution of noise levels."""

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return noise levels of shape ``(count, 1, 1, 1)``."""
        ...


class Perturbation(Protocol):
    """A distribution of noise, of standard size."""

    def sample(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Return noise in the shape and dtype of images ``(batch, channel, height, width)``."""
        ...


@dataclass(frozen=True)
class GaussianPerturbation:
    """Independent standard normal numbers."""

    def sample(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """Return noise in the shape and dtype of images ``(batch, channel, height, width)``."""
        return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


class Noisy(NamedTuple):
    """Noisy images ``(batch, channel, height, width)`` and their levels ``(batch, 1, 1, 1)``."""

    x: Tensor
    sigma: Tensor


@dataclass(frozen=True)
class Objective:
    r"""The loss of a denoiser, which every parametrisation shares.

    .. math:: \mathbb{E}\, \|D(x_0 + \sigma n, \sigma) - x_0\|^2 / (\dim c_{out}^2)

    is the plain square error of the network's output: of the noise, of v, of x0, of a velocity, or
    the loss of :cite:t:`karras2022`, eq. 8. What differs is how the levels are drawn, what
    the output means, and the noise.

    Args:
        preconditioning: How the output becomes D.
        levels: Distribution of sigma.
        noise: Distribution of n.
    """

    preconditioning: Preconditioning
    levels: LevelSource
    noise: Perturbation = field(default_factory=GaussianPerturbation)

    def draw(self, clean: Tensor, generator: torch.Generator) -> Noisy:
        """Return images with noise, each of a level of its own.

        Args:
            clean: x0, ``(batch, channel, height, width)``.
            generator: On the device of the images; the level is drawn first.
        """
        sigma = self.levels.sample(len(clean), generator)
        return Noisy(clean + sigma * self.noise.sample(clean, generator), sigma)

    def losses(self, network: Network, clean: Tensor, noisy: Noisy) -> Tensor:
        """Return the loss of each image, ``(batch,)``.

        Args:
            network: ``(x, time) -> output``.
            clean: x0, ``(batch, channel, height, width)``.
            noisy: See ``draw``.
        """
        denoised = self.preconditioning.denoise(network, noisy.x, noisy.sigma)
        error = (denoised - clean) / self.preconditioning.output_scale(noisy.sigma)
        return (error**2).flatten(1).mean(1)


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
    objective = Objective(preconditioning, levels)
    return objective.losses(network, clean, objective.draw(clean, generator)).mean()
