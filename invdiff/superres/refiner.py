"""Training of a network that refines rough images, from pairs of a true and a rough one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from invdiff.priors.preconditioning import EDM
from invdiff.superres.network_prior import ConditionedNetwork, SuperResolutionPrior
from invdiff.superres.recipe import SuperResolutionRecipe
from invdiff.training import NoiseLevels, Training, TrainingStep, drawn_network, edm_loss, train

__all__ = ["RefinerRecipe", "refiner_loss", "train_refiner"]

_LEVELS, _TRAINING = NoiseLevels(-2.0, 1.5), Training(dtype=torch.float32)


@dataclass(frozen=True)
class RefinerRecipe:
    """Network, noise and optimisation of a refiner.

    Args:
        patch: Side of the blocks that are the channels of the network.
        channels: Of the network, one number for each resolution.
        layers: Residual blocks at each resolution.
        batch_size: Pairs per step.
        sigma_data: Spread of what the rough images leave, for images in [-1, 1].
        levels: Distribution of the noise levels, about sigma_data; the highest are where the
            network has to draw on the rough image alone.
        training: The optimisation.

    Raises:
        ValueError: A number out of its range.
    """

    patch: int = 4
    channels: tuple[int, ...] = (32, 64)
    layers: int = 1
    batch_size: int = 16
    sigma_data: float = 0.1
    levels: NoiseLevels = _LEVELS
    training: Training = _TRAINING

    def __post_init__(self) -> None:
        counts = (self.patch, self.layers, self.batch_size, *self.channels)
        if min(counts) < 1 or not self.channels or not 0 < self.sigma_data < math.inf:
            raise ValueError(f"RefinerRecipe: a number is out of its range in {self}")

    def network(self) -> nn.Module:
        """Return the untrained network, its weights drawn from torch's default generator."""
        recipe = SuperResolutionRecipe(
            factor=1, patch=self.patch, channels=self.channels, layers=self.layers
        )
        return recipe.network()

    def prior(self, network: nn.Module) -> SuperResolutionPrior:
        """Return the conditional denoiser of a network; its condition is the rough image itself."""
        return SuperResolutionPrior(network, EDM(self.sigma_data), factor=1, patch=self.patch)


def refiner_loss(
    network: nn.Module,
    truth: Tensor,
    rough: Tensor,
    recipe: RefinerRecipe,
    generator: torch.Generator,
) -> Tensor:
    """Return the denoising loss of what rough images leave, one draw of noise a pair; a scalar.

    Args:
        network: Whose loss it is, maybe in the middle of its training.
        truth: ``(batch, height, width)`` in [-1, 1].
        rough: Likewise, and what the network sees.
        recipe: Blocks, preconditioning and noise.
        generator: On the device.
    """
    condition = rough.unsqueeze(1)
    conditioned = ConditionedNetwork(network, condition, recipe.patch)
    residual = pixel_unshuffle(truth.unsqueeze(1) - condition, recipe.patch)
    return edm_loss(conditioned, residual, EDM(recipe.sigma_data), recipe.levels, generator)


def train_refiner(
    truth: Tensor,
    rough: Tensor,
    recipe: RefinerRecipe,
    *,
    generator: torch.Generator,
    callback: Callable[[TrainingStep], None] | None = None,
) -> SuperResolutionPrior:
    """Train E[x0 | x0 + sigma n, xhat] on pairs and return it, with averaged weights.

    Args:
        truth: x0, ``(pairs, height, width)`` in [-1, 1].
        rough: xhat of each, such as a filtered back-projection, likewise.
        recipe: What is trained, and how.
        generator: On the device of the pairs; the only source of randomness.
        callback: Called after each step.

    Raises:
        ValueError: Pairs that don't fit, aren't real or that the network can't halve, or a loss
            that diverged.
    """
    if truth.shape != rough.shape or truth.ndim != 3 or not truth.numel():
        raise ValueError(
            "refiner: expected pairs (pairs, height, width), got "
            f"{tuple(truth.shape)} and {tuple(rough.shape)}"
        )
    if not (truth.is_floating_point() and rough.is_floating_point()):
        raise ValueError(f"refiner: expected real pairs, got {truth.dtype} and {rough.dtype}")
    network = drawn_network(recipe.network, generator=generator)
    recipe.prior(network).check_sides(truth.shape[-2:])
    network.requires_grad_(True)

    def loss(current: nn.Module, step: int) -> Tensor:
        shape = (recipe.batch_size,)
        chosen = torch.randint(len(truth), shape, generator=generator, device=generator.device)
        return refiner_loss(current, truth[chosen], rough[chosen], recipe, generator)

    return recipe.prior(train(network, loss, recipe.training, callback=callback))
