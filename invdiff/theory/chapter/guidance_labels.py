"""Labelled images on the line, and a network that knows them."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from invdiff.priors import GaussianMixturePrior, PretrainedPrior
from invdiff.priors.preconditioning import Network

__all__ = [
    "GUIDANCE",
    "LABEL_MEAN",
    "LABEL_VARIANCE",
    "guided_by_label",
    "mixture",
    "tilted",
    "two_gaussians",
]

# all images are N(0, 1), those of the label N(1, 1/4)
GUIDANCE, LABEL_MEAN, LABEL_VARIANCE = 3.0, 1.0, 0.25


def mixture(
    weights: list[float], means: list[float], variances: list[float]
) -> GaussianMixturePrior:
    """Return a mixture of images of one pixel."""
    w, m, v = (torch.tensor(values, dtype=torch.float64) for values in (weights, means, variances))
    return GaussianMixturePrior(w, m.reshape(-1, 1, 1, 1), v.reshape(-1, 1, 1))


class _Classes(nn.Module):
    """A network that knows the posterior mean of a label, 0, and of all images, 1."""

    config = SimpleNamespace(sample_size=1, in_channels=1, num_class_embeds=2)

    def __init__(self, labelled: GaussianMixturePrior, every: GaussianMixturePrior) -> None:
        super().__init__()
        self.priors, self.precision = (labelled, every), nn.Parameter(torch.zeros(1))

    def forward(
        self, x: Tensor, sigma: Tensor, label: Tensor, return_dict: bool
    ) -> tuple[Tensor, ...]:
        return (self.priors[int(label[0])](x, sigma),)


class _Mean:
    """The output of the network is D itself."""

    def denoise(self, network: Network, x: Tensor, sigma: Tensor) -> Tensor:
        return network(x, sigma.flatten())

    def output_scale(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)


def guided_by_label(
    labelled: GaussianMixturePrior, every: GaussianMixturePrior, weight: float
) -> PretrainedPrior:
    """Return the denoiser that a network of both laws becomes by guidance of that weight."""
    return PretrainedPrior(
        _Classes(labelled, every), _Mean(), chunk_size=1024,
        info={"classes": ["label"]}, label="label", guidance=weight,
    )  # fmt: skip


def two_gaussians(weight: float = GUIDANCE) -> PretrainedPrior:
    """Return guidance from all images to those of the label."""
    return guided_by_label(
        mixture([1.0], [LABEL_MEAN], [LABEL_VARIANCE]), mixture([1.0], [0.0], [1.0]), weight
    )


def tilted(weight: float = GUIDANCE) -> tuple[float, float]:
    """Return mean and variance of N(0, 1)^(1 - w) N(m, v)^w."""
    precision = 1 - weight + weight / LABEL_VARIANCE
    return weight * LABEL_MEAN / LABEL_VARIANCE / precision, 1 / precision
