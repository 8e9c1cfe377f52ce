"""Training of a router: which expert a noisy image is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from invdiff.linalg import expand_right
from invdiff.priors.router_network import RouterNetwork
from invdiff.priors.routing import Router
from invdiff.training.levels import LevelSource
from invdiff.training.loop import TrainingStep, train
from invdiff.training.perturbation import GaussianPerturbation
from invdiff.training.resume import TrainingCheckpoint
from invdiff.training.settings import Training

__all__ = ["router_loss", "train_router"]


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
    noise = GaussianPerturbation().sample(clean, generator)
    x = clean + expand_right(sigma, clean.ndim - 1) * noise
    return nn.functional.nll_loss(network(x, sigma), expert)


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
    checkpoint: TrainingCheckpoint | None = None,
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
        checkpoint: See ``train``; its generators are this one.
        callback: See ``train``.

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

    trained = train(network, loss, training, checkpoint=checkpoint, callback=callback)
    assert isinstance(trained, RouterNetwork)
    return trained


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
