"""Training of a router, and how far its probabilities can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from invdiff.linalg import expand_right
from invdiff.priors.router_network import RouterNetwork
from invdiff.priors.routing import Router
from invdiff.training.loop import TrainingStep, train
from invdiff.training.objective import LevelSource
from invdiff.training.settings import Training

__all__ = ["LogUniformLevels", "RouterScore", "router_loss", "router_scores", "train_router"]

# images that a router is asked about at once
_CHUNK = 1024


@dataclass(frozen=True)
class LogUniformLevels:
    r"""Noise levels whose logarithm is uniform: all that a sampler passes, alike.

    Args:
        low: Lowest sigma, in the units of the images.
        high: Highest.

    Raises:
        ValueError: ``0 < low < high`` doesn't hold.
    """

    low: float = 0.01
    high: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(
                f"LogUniformLevels: expected 0 < low < high, got {self.low} and {self.high}"
            )

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return noise levels of shape ``(count, 1, 1, 1)``."""
        share = torch.rand(count, 1, 1, 1, generator=generator, device=generator.device)
        return self.low * (self.high / self.low) ** share


def router_loss(
    network: Router, clean: Tensor, expert: Tensor, levels: LevelSource, generator: torch.Generator
) -> Tensor:
    r"""Return the cross entropy of a router in nats, one draw of noise for each image.

    .. math:: -\mathbb{E} \log q(k | x_0 + \sigma n, \sigma)

    Least where q is the true p(k | x, sigma) :cite:p:`mcallister2025`: the rest is the mean KL
    divergence between the two.

    Args:
        network: Gives normalised log probabilities.
        clean: x0, ``(batch, *image)``.
        expert: k, ``(batch,)`` int64.
        levels: Distribution of sigma.
        generator: On the device of the images; the level is drawn first.
    """
    sigma = levels.sample(len(clean), generator).reshape(-1).to(clean)
    return nn.functional.nll_loss(network(_noisy(clean, sigma, generator), sigma), expert)


def train_router(
    network: RouterNetwork,
    clean: Sequence[Tensor],
    training: Training,
    levels: LevelSource,
    *,
    batch_size: int,
    generator: torch.Generator,
    shares: Sequence[float] | None = None,
    change: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    callback: Callable[[TrainingStep], None] | None = None,
) -> RouterNetwork:
    r"""Train a router and return the average of its weights, as a network of its own.

    Args:
        network: On the device it is trained on; it is changed, too.
        clean: For each expert the images that it learnt from, ``(count, *image)``, alike in shape.
        training: Settings of the optimisation.
        levels: Distribution of sigma; beyond what it reaches the router is a guess.
        batch_size: Images of each step.
        generator: Of images and noise, on the device of the network.
        shares: :math:`\pi`, how often each expert's images are drawn; by default as there are
            images.
        change: Varies a batch of images with a generator, such as ``mirrored``.
        callback: See ``invdiff.training.train``.

    Raises:
        ValueError: Sets that don't fit the network, shares that are not positive, or a loss that
            isn't finite.
    """
    weights = _shares(network, clean, shares).to(generator.device)

    def loss(module: nn.Module, step: int) -> Tensor:
        expert = torch.multinomial(weights, batch_size, replacement=True, generator=generator)
        images = _drawn(clean, expert, generator)
        if change is not None:
            images = change(images, generator)
        return router_loss(module, images, expert, levels, generator)

    trained = train(network, loss, training, callback=callback)
    assert isinstance(trained, RouterNetwork)
    return trained


class RouterScore(NamedTuple):
    """What a router knows at one noise level.

    Args:
        sigma: The level.
        accuracy: Share of images whose likeliest expert is their own.
        cross_entropy: In nats.
        calibration_error: Mean distance of stated and true probability, see ``router_scores``.
    """

    sigma: float
    accuracy: float
    cross_entropy: float
    calibration_error: float


def router_scores(
    router: Router,
    clean: Tensor,
    expert: Tensor,
    sigmas: Sequence[float],
    *,
    generator: torch.Generator,
    num_bins: int = 10,
) -> list[RouterScore]:
    r"""Score a router on noisy images whose expert is known, at each noise level.

    The expected calibration error :cite:p:`guo2017` compares, in bins B of equal width of the
    highest probability, its mean with how often that expert is right:

    .. math:: \sum_B \frac{|B|}{N} \bigl|\mathrm{acc}(B) - \mathrm{conf}(B)\bigr|

    Args:
        router: Gives log weights.
        clean: x0, ``(count, *image)``.
        expert: k, ``(count,)`` int64.
        sigmas: Noise levels.
        generator: Of the noise, on the device of the images.
        num_bins: Of the probabilities, on [0, 1].
    """
    scores = []
    for level in sigmas:
        sigma = torch.full((len(clean),), level, dtype=clean.dtype, device=clean.device)
        x = _noisy(clean, sigma, generator)
        with torch.no_grad():
            parts = zip(torch.split(x, _CHUNK), torch.split(sigma, _CHUNK), strict=True)
            log_weights = torch.cat([router(v, s).log_softmax(-1) for v, s in parts])
        confidence, guess = log_weights.exp().max(-1)
        right = (guess == expert).to(confidence)
        scores.append(
            RouterScore(
                level,
                float(right.mean()),
                float(nn.functional.nll_loss(log_weights, expert)),
                _calibration_error(confidence, right, num_bins),
            )
        )
    return scores


def _calibration_error(confidence: Tensor, right: Tensor, num_bins: int) -> float:
    bins = (confidence * num_bins).long().clamp(max=num_bins - 1)
    # |B| (acc - conf) is the sum of the differences
    gaps = torch.zeros(num_bins, dtype=torch.float64, device=confidence.device)
    differences = right.double() - confidence.double()
    return float(gaps.index_add(0, bins, differences).abs().sum() / len(right))


def _noisy(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(clean.shape, generator=generator, device=clean.device, dtype=clean.dtype)
    return clean + expand_right(sigma, clean.ndim - 1) * noise


def _drawn(clean: Sequence[Tensor], expert: Tensor, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(len(expert), generator=generator, device=generator.device)
    images = clean[0].new_empty(len(expert), *clean[0].shape[1:])
    for k, values in enumerate(clean):
        rows = expert == k
        images[rows] = values[(uniform[rows] * len(values)).long()]
    return images


def _shares(
    network: RouterNetwork, clean: Sequence[Tensor], shares: Sequence[float] | None
) -> Tensor:
    count = network.settings.num_experts
    if len(clean) != count or not all(map(len, clean)):
        raise ValueError(f"train_router: expected images for each of {count} experts")
    if len({values.shape[1:] for values in clean}) > 1:
        shapes = [tuple(values.shape[1:]) for values in clean]
        raise ValueError(f"train_router: expected images alike in shape, got {shapes}")
    weights = torch.tensor([len(v) for v in clean] if shares is None else shares).double()
    if weights.shape != (count,) or not (weights > 0).all():
        raise ValueError(f"train_router: expected {count} positive shares, got {shares}")
    return weights / weights.sum()
