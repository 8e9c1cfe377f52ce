"""What the tensors of an NCSN++ checkpoint say of its switches, and what its output means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from invdiff.priors.architectures.ncsnpp_settings import NCSNppSettings
from invdiff.priors.score_preconditioning import ContinuousVP, ScoreVE

__all__ = ["infer_ncsnpp", "ncsnpp_data_range", "ncsnpp_preconditioning", "ncsnpp_tables"]

Layer = dict[str, tuple[int, ...]]


def infer_ncsnpp(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what names and shapes say: all but sizes, filters, scalings and the meaning.

    The number of noise levels is that of the table ``sigmas``, which some copies leave out.

    Raises:
        KeyError: A tensor of the network is missing.
    """
    layers = _layers(weights)
    conv = next(i for i, layer in enumerate(layers) if len(layer.get("weight", ())) == 4)
    nf, channels = layers[conv]["weight"][:2]
    residual = [layer for layer in layers if "Dense_0.weight" in layer]
    biggan = any("Conv_2.weight" in layer for layer in residual)
    plain = [layer for layer in residual if not _resamples(layer)]
    blocks = next(
        i
        for i, layer in enumerate(layers[conv + 1 :])
        if "NIN_3.W" not in layer and ("Dense_0.weight" not in layer or _resamples(layer))
    )
    blocks -= sum("NIN_3.W" in layer for layer in layers[conv + 1 : conv + 1 + blocks])
    # the way up has one block more on each level; two stand in the middle
    levels = (len(plain) - 2) // (2 * blocks + 1)
    return {
        "nf": nf,
        "num_channels": channels,
        "num_res_blocks": blocks,
        "ch_mult": tuple(
            plain[level * blocks]["Conv_0.weight"][0] // nf for level in range(levels)
        ),
        "resblock_type": "biggan" if biggan else "ddpm",
        "embedding_type": "fourier" if "W" in layers[0] else "positional",
        "conditional": any(len(layer.get("weight", ())) == 2 for layer in layers[:2]),
        **_input(layers, channels),
        "progressive": _output(layers, channels, levels),
        **({"num_scales": len(weights["sigmas"])} if "sigmas" in weights else {}),
    }


def ncsnpp_preconditioning(settings: NCSNppSettings) -> ScoreVE | ContinuousVP:
    """Return what the output means: the score given sigma, or the noise given 999 t.

    Raises:
        ValueError: A network that was trained at discrete levels of "ve".
    """
    if settings.sde == "vp":
        return ContinuousVP()
    if settings.embedding_type == "positional":
        raise ValueError("ncsnpp: a positional network of sde 've' has discrete levels")
    return ScoreVE()


def ncsnpp_data_range(settings: NCSNppSettings) -> tuple[float, float]:
    """Return the range of the images that the network takes."""
    return (-1.0, 1.0) if settings.centered else (0.0, 1.0)


def ncsnpp_tables(settings: NCSNppSettings) -> dict[str, Tensor]:
    """Return the noise levels ``sigmas``, falling and geometric."""
    ends = math.log(settings.sigma_max), math.log(settings.sigma_min)
    return {"sigmas": torch.linspace(*ends, settings.num_scales).exp()}


def _layers(weights: Mapping[str, Tensor]) -> list[Layer]:
    """Return the shapes of each numbered layer; layers without tensors are empty."""
    parts = [(name.split(".", 2), value) for name, value in weights.items()]
    numbered = [(p, value) for p, value in parts if p[0] == "all_modules"]
    if not numbered:
        raise KeyError("all_modules.0")
    layers: list[Layer] = [{} for _ in range(1 + max(int(p[1]) for p, _ in numbered))]
    for p, value in numbered:
        layers[int(p[1])][p[2]] = tuple(value.shape)
    return layers


def _resamples(layer: Layer) -> bool:
    # a shortcut as wide out as in is there for the change of size only
    shape = layer.get("Conv_2.weight", (0, 1))
    return shape[0] == shape[1]


def _input(layers: list[Layer], channels: int) -> dict[str, Any]:
    for i, layer in enumerate(layers):
        if "Conv.weight" in layer:
            stacked = layers[i + 1]["Conv_0.weight"][1] == 2 * layer["Conv.weight"][0]
            combine = "cat" if stacked else "sum"
            return {"progressive_input": "input_skip", "progressive_combine": combine}
        shape = layer.get("Conv_0.weight", layer.get("Conv2d_0.weight", (0, 0)))
        if "Dense_0.weight" not in layer and shape[1] == channels:
            return {"progressive_input": "residual", "fir": "Conv2d_0.weight" in layer}
    return {"progressive_input": "none"}


def _output(layers: list[Layer], channels: int, levels: int) -> str:
    norms = [i for i, layer in enumerate(layers) if len(layer.get("weight", ())) == 1]
    if len(norms) == 1:
        return "none"
    first = layers[norms[0] + 1]["weight"][0]
    return "output_skip" if first == channels and len(norms) == levels else "residual"
