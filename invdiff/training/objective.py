"""What a denoiser is trained to minimise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from invdiff.priors.preconditioning import EDM, Network, Preconditioning
from invdiff.training.levels import LevelSource, NoiseLevels
from invdiff.training.perturbation import GaussianPerturbation, Perturbation

__all__ = ["GaussianPerturbation", "LevelSource", "NoiseLevels", "Noisy", "Objective",
           "Perturbation", "edm_loss"]  # fmt: skip


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
