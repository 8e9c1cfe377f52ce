"""What the tensors of an EDM checkpoint say of its network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["infer_song"]


def infer_song(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what names and shapes say: all but ``preconditioning`` and ``sigma_data``.

    Raises:
        KeyError: A tensor of the network is missing.
    """
    blocks = {name.split(".")[1] for name in weights if name.startswith("enc.")}
    sizes = sorted({int(name.split("x")[0]) for name in blocks}, reverse=True)
    if not sizes:
        raise KeyError("enc")
    top = f"{sizes[0]}x{sizes[0]}"
    base, channels = weights[f"enc.{top}_conv.weight"].shape[:2]
    told, waves = weights["map_layer0.weight"].shape
    firsts = [f"enc.{size}x{size}_block0" for size in sizes]
    label, augment = weights.get("map_label.weight"), weights.get("map_augment.weight")
    return {
        "img_resolution": sizes[0],
        "in_channels": channels,
        "label_dim": 0 if label is None else label.shape[1],
        "augment_dim": 0 if augment is None else augment.shape[1],
        "model_channels": base,
        "channel_mult": tuple(weights[f"{f}.conv0.weight"].shape[0] // base for f in firsts),
        "channel_mult_emb": told // base,
        "num_blocks": sum(name.startswith(f"{top}_block") for name in blocks),
        "attn_resolutions": tuple(
            size for size, f in zip(sizes, firsts, strict=True) if f"{f}.qkv.weight" in weights
        ),
        "embedding_type": "fourier" if "map_noise.freqs" in weights else "positional",
        "channel_mult_noise": waves // base,
        "encoder_type": _encoder_type(blocks),
        "decoder_type": (
            "skip" if f"dec.{sizes[-1]}x{sizes[-1]}_aux_conv.weight" in weights else "standard"
        ),
        "resample_filter": _taps(weights),
    }


def _encoder_type(blocks: set[str]) -> str:
    if any(name.endswith("aux_residual") for name in blocks):
        return "residual"
    return "skip" if any(name.endswith("aux_skip") for name in blocks) else "standard"


def _taps(weights: Mapping[str, Tensor]) -> tuple[int, ...]:
    kernels = [value for name, value in weights.items() if name.endswith("resample_filter")]
    if not kernels:
        return (1, 1)
    # the outer product of taps of sum 1: a row's sum is its tap; the outermost counts as 1
    row = kernels[0][0, 0].double().sum(dim=1)
    return tuple(int(tap) for tap in torch.round(row / row[0]))
