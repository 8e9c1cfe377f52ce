"""The U-Net of EDM's ADM configuration, with the parameter names of its networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from invdiff.priors.architectures.dhariwal_blocks import (
    DhariwalBlock,
    DhariwalConv,
    dhariwal_norm,
)
from invdiff.priors.architectures.image_network import ImageNetwork, NetworkConfig
from invdiff.priors.architectures.noise_embedding import time_embedding

__all__ = ["DhariwalSettings", "DhariwalUNet", "infer_dhariwal"]


@dataclass(frozen=True)
class DhariwalSettings:
    """What decides a ``DhariwalUNet`` and what its output means, by the names of its project.

    Args:
        img_resolution: Rows and columns; the names of the tensors say it.
        in_channels: Channels of an image.
        label_dim: Number of classes; 0 for a network without.
        augment_dim: Numbers that described the augmentation in training; zero in use.
        model_channels: Channels of the first level, and of the embedded noise level.
        channel_mult: Channels of each level, in ``model_channels``.
        channel_mult_emb: Channels of the embedding, in ``model_channels``.
        num_blocks: Residual blocks of a level.
        attn_resolutions: Rows of the levels with attention.
        preconditioning: What the output means: "edm", "vp", "ve" or "iddpm".
        sigma_data: Standard deviation of the images, of "edm".
    """

    img_resolution: int = 64
    in_channels: int = 3
    label_dim: int = 0
    augment_dim: int = 0
    model_channels: int = 192
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    channel_mult_emb: int = 4
    num_blocks: int = 3
    attn_resolutions: tuple[int, ...] = (32, 16, 8)
    preconditioning: Literal["edm", "vp", "ve", "iddpm"] = "edm"
    sigma_data: float = 0.5

    @property
    def out_channels(self) -> int:
        """Channels of the output, twice those of the image where it also has a variance."""
        return self.in_channels * (2 if self.preconditioning == "iddpm" else 1)


class DhariwalUNet(ImageNetwork):
    """The network "adm" of :cite:t:`karras2022`, parameter for parameter.

    A label of ``label_dim`` stands for none: the vector of zeros that networks trained with
    dropout of the labels know.

    Args:
        settings: Its shapes.
    """

    accepts_no_label = True

    def __init__(self, settings: DhariwalSettings) -> None:
        size, channels, classes = settings.img_resolution, settings.in_channels, settings.label_dim
        super().__init__(NetworkConfig(size, channels, settings.out_channels, classes or None))
        self.settings = settings
        told = settings.model_channels * settings.channel_mult_emb
        self._told = told
        if settings.augment_dim:
            self.map_augment = nn.Linear(settings.augment_dim, settings.model_channels, bias=False)
        self.map_layer0 = nn.Linear(settings.model_channels, told)
        self.map_layer1 = nn.Linear(told, told)
        if classes:
            self.map_label = nn.Linear(classes, told, bias=False)
        across: list[int] = []
        self.enc = nn.ModuleDict(dict(self._encoder(across)))
        self.dec = nn.ModuleDict(dict(self._decoder(across)))
        first = settings.model_channels * settings.channel_mult[0]
        self.out_norm = dhariwal_norm(first)
        self.out_conv = DhariwalConv(first, settings.out_channels, 3)

    def _output(self, sample: Tensor, timestep: Tensor, class_labels: Tensor | None) -> Tensor:
        """Return F for the noise level c_noise."""
        # the numbers of the augmentation are zero, and what maps them has no bias
        waves = time_embedding(timestep, self.settings.model_channels).to(sample.dtype)
        embedding = self.map_layer1(functional.silu(self.map_layer0(waves)))
        if self.settings.label_dim:
            if class_labels is None:
                raise ValueError("dhariwal: this network has classes, and got no class_labels")
            known = functional.one_hot(class_labels, self.settings.label_dim + 1)[:, :-1]
            embedding = embedding + self.map_label(known.to(sample.dtype))
        return self._denoise(sample, functional.silu(embedding))

    def _denoise(self, x: Tensor, embedding: Tensor) -> Tensor:
        across = []
        for block in self.enc.values():
            x = block(x, embedding) if isinstance(block, DhariwalBlock) else block(x)
            across.append(x)
        for name, block in self.dec.items():
            if "_block" in name:
                x = torch.cat([x, across.pop()], dim=1)
            x = block(x, embedding)
        return self.out_conv(functional.silu(self.out_norm(x)))

    def _encoder(self, across: list[int]) -> Iterator[tuple[str, nn.Module]]:
        width = self.settings.in_channels
        for level, size, out in self._levels():
            if level == 0:
                yield f"{size}x{size}_conv", DhariwalConv(width, out, 3)
                width = out
            else:
                yield (
                    f"{size}x{size}_down",
                    DhariwalBlock(width, width, self._told, resample="down"),
                )
            across.append(width)
            for i in range(self.settings.num_blocks):
                yield f"{size}x{size}_block{i}", self._block(width, out, size)
                width = out
                across.append(width)

    def _decoder(self, across: list[int]) -> Iterator[tuple[str, nn.Module]]:
        width = across[-1]
        for level, size, out in reversed(self._levels()):
            name = f"{size}x{size}"
            if level == len(self.settings.channel_mult) - 1:
                yield f"{name}_in0", DhariwalBlock(width, width, self._told, attention=True)
                yield f"{name}_in1", DhariwalBlock(width, width, self._told)
            else:
                yield f"{name}_up", DhariwalBlock(width, width, self._told, resample="up")
            for i in range(self.settings.num_blocks + 1):
                yield f"{name}_block{i}", self._block(width + across.pop(), out, size)
                width = out

    def _block(self, channels: int, out: int, size: int) -> DhariwalBlock:
        attention = size in self.settings.attn_resolutions
        return DhariwalBlock(channels, out, self._told, attention=attention)

    def _levels(self) -> list[tuple[int, int, int]]:
        settings = self.settings
        return [
            (level, settings.img_resolution >> level, settings.model_channels * mult)
            for level, mult in enumerate(settings.channel_mult)
        ]


def infer_dhariwal(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what the names and shapes say: all but ``preconditioning`` and ``sigma_data``.

    Raises:
        KeyError: A tensor of the network is missing.
    """
    embedding, base = weights["map_layer0.weight"].shape
    blocks = sorted({name.split(".")[1] for name in weights if name.startswith("enc.")})
    sizes = sorted({int(name.split("x")[0]) for name in blocks}, reverse=True)
    firsts = [f"enc.{size}x{size}_block0" for size in sizes]
    label, augment = weights.get("map_label.weight"), weights.get("map_augment.weight")
    return {
        "img_resolution": sizes[0],
        "in_channels": weights[f"enc.{sizes[0]}x{sizes[0]}_conv.weight"].shape[1],
        "label_dim": 0 if label is None else label.shape[1],
        "augment_dim": 0 if augment is None else augment.shape[1],
        "model_channels": base,
        "channel_mult": tuple(weights[f"{f}.conv0.weight"].shape[0] // base for f in firsts),
        "channel_mult_emb": embedding // base,
        "num_blocks": sum(name.startswith(f"{sizes[0]}x{sizes[0]}_block") for name in blocks),
        "attn_resolutions": tuple(
            size for size, f in zip(sizes, firsts, strict=True) if f"{f}.qkv.weight" in weights
        ),
    }
