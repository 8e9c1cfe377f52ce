"""How the shipped super-resolution priors are trained: from slices to a folder of weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from invdiff.priors.preconditioning import EDM
from invdiff.superres.network_prior import ConditionedNetwork, SuperResolutionPrior
from invdiff.training import (
    NoiseLevels,
    Training,
    TrainingStep,
    cropped,
    drawn_network,
    edm_loss,
    gamma_changed,
    mirrored,
    train,
)

__all__ = ["SuperResolutionRecipe", "drawn_loss", "train_super_resolution"]

_LEVELS, _TRAINING = NoiseLevels(-2.0, 1.5), Training()


@dataclass(frozen=True)
class SuperResolutionRecipe:
    """Network, noise and changes of the images of a super-resolution training.

    Args:
        factor: Fine pixels to a coarse one, along each axis.
        patch: Side of the blocks that are the channels of the network.
        channels: Of the network, one number for each resolution.
        layers: Residual blocks at each resolution.
        batch_size: Images per step.
        crop: Side of the part of a slice that is trained on, anywhere in it; None: whole slices.
        sigma_data: Spread of what bicubic enlargement leaves, for images in [-1, 1].
        levels: Distribution of the noise levels, about sigma_data; the highest are where
            the network has to draw on the measurement alone.
        gamma_spread: Of the random change of contrast.
        training: The optimisation.

    Raises:
        ValueError: A number out of its range.
    """

    factor: int = 4
    patch: int = 4
    channels: tuple[int, ...] = (64, 96, 128)
    layers: int = 1
    batch_size: int = 128
    crop: int | None = 128
    sigma_data: float = 0.1
    levels: NoiseLevels = _LEVELS
    gamma_spread: float = 0.15
    training: Training = _TRAINING

    def __post_init__(self) -> None:
        counts = (self.factor, self.patch, self.layers, self.batch_size, *self.channels)
        if min(counts) < 1 or (self.crop is not None and self.crop < 1):
            raise ValueError(f"SuperResolutionRecipe: a number is out of its range in {self}")
        if not 0 < self.sigma_data < math.inf or not self.gamma_spread >= 0:
            raise ValueError(
                "SuperResolutionRecipe: expected sigma_data > 0 and gamma_spread >= 0, got "
                f"{self.sigma_data} and {self.gamma_spread}"
            )

    def network(self) -> nn.Module:
        """Return the untrained network, its weights drawn from torch's default generator."""
        from diffusers import UNet2DModel

        depth, pixels = len(self.channels), self.patch**2
        unet: nn.Module = UNet2DModel(
            in_channels=2 * pixels,
            out_channels=pixels,
            block_out_channels=self.channels,
            layers_per_block=self.layers,
            down_block_types=("DownBlock2D",) * (depth - 1) + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * (depth - 1),
            attention_head_dim=32,
            norm_num_groups=16,
            resnet_time_scale_shift="scale_shift",
        )
        return unet

    def changed(self, slices: Tensor, generator: torch.Generator) -> Tensor:
        """Return parts of slices of [0, 1] under random symmetries and contrast."""
        side = self.crop or slices.shape[-1]
        parts = cropped(mirrored(slices, generator), side, generator)
        return gamma_changed(parts, self.gamma_spread, generator)


def train_super_resolution(
    slices: Tensor,
    recipe: SuperResolutionRecipe,
    *,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    graph: bool = False,
    callback: Callable[[TrainingStep], None] | None = None,
) -> SuperResolutionPrior:
    """Train a super-resolution prior on slices and return it, with averaged weights.

    Args:
        slices: ``(slices, side, side)`` of [0, 1], or of 0 to 255 as uint8.
        recipe: What is trained, and how.
        generator: On the device; the only source of randomness.
        device: Where to train.
        graph: Run the network as a CUDA graph, see ``train``.
        callback: Called after each step.

    Raises:
        ValueError: Slices that the network can't halve, of other values or none, a number out of
            its range, a graph without a GPU, or a loss that diverged.
    """
    _check_slices(slices)
    if graph and torch.device(device).type != "cuda":
        raise ValueError(f"graph: needs a CUDA device, got {device}")
    network = drawn_network(recipe.network, generator=generator).to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    preconditioning = EDM(recipe.sigma_data)
    # owns the resampling of the pairs; its network is the one that is being trained
    prior = SuperResolutionPrior(network, preconditioning, factor=recipe.factor, patch=recipe.patch)
    prior.check_sides(slices.shape[-2:] if recipe.crop is None else (recipe.crop,))
    network.requires_grad_(True)
    slices = slices.to(device)

    def loss(current: nn.Module, step: int) -> Tensor:
        return drawn_loss(current, prior, slices, recipe, generator)

    example = None
    if graph:
        side, pixels = recipe.crop or slices.shape[-1], recipe.patch
        blocks = (recipe.batch_size, 2 * pixels**2, side // pixels, side // pixels)
        example = slices.new_zeros(blocks, dtype=torch.float32), torch.zeros(blocks[0]).to(device)
    average = train(network, loss, recipe.training, graph_example=example, callback=callback)
    return SuperResolutionPrior(average, preconditioning, factor=recipe.factor, patch=recipe.patch)


def _check_slices(slices: Tensor) -> None:
    if slices.ndim != 3 or not slices.numel():
        raise ValueError(f"slices: expected (slices, side, side), got {tuple(slices.shape)}")
    if slices.dtype == torch.uint8:
        return
    # NaN is in no range
    if not slices.is_floating_point() or not ((slices >= 0) & (slices <= 1)).all():
        raise ValueError("slices: expected uint8, or floating point from 0 to 1")


def drawn_loss(
    network: nn.Module,
    prior: SuperResolutionPrior,
    slices: Tensor,
    recipe: SuperResolutionRecipe,
    generator: torch.Generator,
) -> Tensor:
    """Return the loss of a network on a batch that is drawn from slices, a scalar.

    Args:
        network: Whose loss it is, maybe in the middle of its training.
        prior: Whose resampling and preconditioning it has; its own network is not called.
        slices: As for ``train_super_resolution``, on the device.
        recipe: Size and changes of the batch, and the noise.
        generator: On the device.
    """
    chosen = torch.randint(
        len(slices), (recipe.batch_size,), generator=generator, device=slices.device
    )
    fine = slices[chosen].float() / (255 if slices.dtype == torch.uint8 else 1)
    fine = 2 * recipe.changed(fine, generator) - 1
    with torch.autocast(fine.device.type, enabled=False):
        up = prior.center(prior.operator((fine.shape[-2], fine.shape[-1]))(fine)).unsqueeze(1)
    conditioned = ConditionedNetwork(network, up, recipe.patch)
    residual = pixel_unshuffle(fine.unsqueeze(1) - up, recipe.patch)
    return edm_loss(conditioned, residual, prior.preconditioning, recipe.levels, generator)
