"""What the shapes of an ADM checkpoint say, what its noise is, and the published settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from invdiff.priors.architectures.adm import ADMSettings
from invdiff.priors.preconditioning import VariancePreserving, preconditioning_of

__all__ = ["ADM_PRESETS", "adm_preconditioning", "infer_adm"]

_IMAGENET_256 = ADMSettings(256, num_head_channels=64)

# the flags that the projects publish beside the files; some give both kinds of heads, and the
# channels of a head win
ADM_PRESETS: dict[str, ADMSettings] = {
    "64x64_diffusion": ADMSettings(
        64, model_channels=192, num_res_blocks=3, channel_mult=(1, 2, 3, 4),
        attention_factors=(2, 4, 8), num_head_channels=64, use_new_attention_order=True,
        num_classes=1000, noise_schedule="cosine",
    ),
    "128x128_diffusion": ADMSettings(
        128, channel_mult=(1, 1, 2, 3, 4), attention_factors=(4, 8, 16), num_classes=1000
    ),
    "256x256_diffusion": replace(_IMAGENET_256, num_classes=1000),
    "256x256_diffusion_uncond": _IMAGENET_256,
    "512x512_diffusion": replace(
        _IMAGENET_256, image_size=512, channel_mult=(0.5, 1, 1, 2, 2, 4, 4),
        attention_factors=(16, 32, 64), num_classes=1000,
    ),
    "ffhq_10m": ADMSettings(
        256, model_channels=128, num_res_blocks=1, attention_factors=(16,), num_head_channels=64
    ),
    "imagenet256": _IMAGENET_256,
    "lsun_bedroom": _IMAGENET_256,
}  # fmt: skip


def infer_adm(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what the names and shapes of a state dict say about ``ADMSettings``.

    They don't say the image size, the heads and how ``qkv`` is laid out, or the noise.

    Raises:
        KeyError: A tensor of the network is missing.
    """
    stem, base = weights["input_blocks.0.0.weight"], weights["time_embed.0.weight"].shape[1]
    in_channels, outputs = stem.shape[1], weights["out.2.weight"].shape[0]
    blocks = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("output_b"))
    per_level, resblocks = _way_up(weights, blocks)
    levels = [1 + level * per_level for level in range(blocks // per_level)]
    first = "input_blocks.1.0"
    classes = weights.get("label_emb.weight")
    return {
        "in_channels": in_channels,
        "model_channels": base,
        "num_res_blocks": per_level - 1,
        "channel_mult": tuple(
            weights[f"input_blocks.{i}.0.out_layers.3.weight"].shape[0] / base for i in levels
        ),
        "attention_factors": tuple(
            2**level
            for level, i in enumerate(levels)
            if f"input_blocks.{i}.1.qkv.weight" in weights
        ),
        "use_scale_shift_norm": weights[f"{first}.emb_layers.1.weight"].shape[0]
        == 2 * weights[f"{first}.out_layers.3.weight"].shape[0],
        "resblock_updown": resblocks,
        "learn_sigma": outputs == 2 * in_channels,
        "num_classes": None if classes is None else classes.shape[0],
    }  # fmt: skip


def adm_preconditioning(settings: ADMSettings) -> VariancePreserving:
    """Return what the output means: the noise or x0 at a time of discrete DDPM.

    Raises:
        ValueError: Fewer than 2 training times.
    """
    steps = settings.diffusion_steps
    if steps < 2:
        raise ValueError(f"adm: expected diffusion_steps >= 2, got {steps}")
    # the linear betas are those of 1000 steps, stretched so that the total noise stays
    noise = (
        {"beta_schedule": "squaredcos_cap_v2"}
        if settings.noise_schedule == "cosine"
        else {"beta_start": 0.1 / steps, "beta_end": 20 / steps, "beta_schedule": "linear"}
    )
    prediction = "sample" if settings.predict_xstart else "epsilon"
    meaning = preconditioning_of(
        {"_class_name": "DDPMScheduler", "num_train_timesteps": steps,
         "prediction_type": prediction, **noise}
    )  # fmt: skip
    assert isinstance(meaning, VariancePreserving)
    return meaning


def _way_up(weights: Mapping[str, Tensor], blocks: int) -> tuple[int, bool]:
    """Return the blocks of a level, and whether a residual block changes the resolution.

    Only the way up says it: there the layer that doubles the pixels ends a level's last block.
    """
    for i in range(blocks):
        for layer in (1, 2):
            if f"output_blocks.{i}.{layer}.in_layers.2.weight" in weights:
                return i + 1, True
            if f"output_blocks.{i}.{layer}.conv.weight" in weights:
                return i + 1, False
    return blocks, True
