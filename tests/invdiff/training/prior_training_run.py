"""A small training of a prior, for one process or several: ``python FILE FOLDER STEPS``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from invdiff.priors.preconditioning import EDM
from invdiff.training import (
    NoiseLevels,
    Objective,
    SliceSet,
    Training,
    TrainingCheckpoint,
    drawn_network,
    mirrored,
)
from invdiff.training.prior import PriorRecipe, train_prior
from invdiff.training.processes import Processes

SIDE = 16


def unet(num_classes=0):
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=SIDE,
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        add_attention=False,
        num_class_embeds=num_classes + 1 if num_classes else None,
    )


def network(num_classes=0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return drawn_network(lambda: unet(num_classes), generator=generator)


def slices(count=24, num_classes=0):
    generator = torch.Generator().manual_seed(1)
    values = torch.randint(256, (count, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % num_classes if num_classes else None
    classes = tuple("abc"[:num_classes])
    return SliceSet(values, tuple(str(k // 4) for k in range(count)), labels, classes)


def recipe(num_steps=20, **choices):
    training = Training(num_steps=num_steps, learning_rate=1e-3, num_warmup=2, dtype=torch.float32)
    objective = Objective(EDM(0.5), NoiseLevels(-1.2, 1.2))
    plain = {
        "batch_size": 8,
        "num_parts": 4,
        "change": lambda x, g: mirrored(x[:, 0], g).unsqueeze(1),
    }
    return PriorRecipe(objective, training, **plain | choices)


def trained(folder=None, num_steps=20, processes=None, callback=None, num_classes=0, **choices):
    checkpoint = None
    if folder is not None:
        path = Path(folder) / "training.safetensors"
        checkpoint = TrainingCheckpoint(path, {"data": "random"}, every=4, generators=())
    losses = []

    def note(step):
        losses.append(step.loss)
        if callback is not None:
            callback(step)

    average = train_prior(
        network(num_classes),
        slices(num_classes=num_classes),
        recipe(num_steps, **choices),
        seed=3,
        processes=processes,
        checkpoint=checkpoint,
        callback=note,
    )
    return average, torch.stack(losses)


def main():
    folder, num_steps = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    processes = Processes.launched("cpu")
    average, losses = trained(folder, num_steps, processes)
    state = {name: value.contiguous() for name, value in average.state_dict().items()}
    save_file(state | {"losses": losses}, folder / f"rank{processes.rank}.safetensors")


if __name__ == "__main__":
    main()
