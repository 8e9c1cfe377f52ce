"""The training itself: on one process or many, kept on the disk, its length chosen at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from invdiff.rng import derive_generator
from invdiff.study.prior_training.live import LiveReport
from invdiff.study.scripted import Arrays
from invdiff.study.slices import Split
from invdiff.study.stored_weights import stored_weights
from invdiff.training import Processes, TrainingCheckpoint, drawn_network
from invdiff.training.power_average import PowerAverages
from invdiff.training.power_snapshots import (
    averaged_weights,
    read_snapshots,
    scores_of_lengths,
    write_snapshots,
)
from invdiff.training.prior import PriorRecipe, heldout_losses, train_prior
from invdiff.training.slice_set import SliceSet

if TYPE_CHECKING:
    from invdiff.study.prior_training.study import PriorTraining

__all__ = ["end_parts", "fitted", "take_part", "untrained"]

# draws of level and noise for each held-out slice: the loss of one depends much on them
_NUM_DRAWS = 4
_TRAIN, _END, _REFUSED = "train", "end", "refused"


class _Kept:
    """Averages of the weights that are written at some steps.

    Args:
        averages: Of the network.
        folder: Where to; None on processes that write nothing.
        steps: After how many updates.
    """

    def __init__(self, averages: PowerAverages, folder: Path | None, steps: set[int]) -> None:
        self.averages, self._folder, self._steps = averages, folder, steps
        self.state, self.restore = averages.state, averages.restore

    def update(self, step: int) -> None:
        """Take the present weights into the averages, and write them if it is time."""
        self.averages.update(step)
        if self._folder is not None and step in self._steps:
            write_snapshots(self._folder, self.averages, dtype=torch.float32)


def untrained(study: PriorTraining, slices: SliceSet) -> nn.Module:
    """Return the network with its first weights, on the CPU."""
    size, channels = slices.values.shape[-1], slices.values.shape[1]
    generator = derive_generator(study.seed, "weights")
    return drawn_network(
        lambda: study.network.build(size, channels, len(slices.classes)), generator=generator
    )


def fitted(study: PriorTraining, split: Split, folder: Path) -> Arrays:
    """Train together with the other processes, and return weights and curves.

    Args:
        study: All choices.
        split: The slices.
        folder: Of the checkpoint and the snapshots; all processes see it.
    """
    processes = Processes.launched(study.device)
    processes.told(_TRAIN)
    live = LiveReport(folder.parent, study.title or study.name, study.optimisation.checkpoint_every)
    try:
        network = _trained(study, split, folder, processes, live)
    finally:
        live.close()
    live.remove()
    heldout = study.judged_slices(split).to(processes.device(study.device))

    def score(weights: dict[str, Tensor]) -> float:
        network.load_state_dict(weights)
        return _heldout_loss(study, network, heldout)

    snapshots = read_snapshots(folder / "snapshots")
    scores = scores_of_lengths(snapshots, study.averages.candidates, score)
    length = min(scores, key=lambda candidate: scores[candidate])
    *earlier, last = sorted({snapshot.profile.step for snapshot in snapshots})
    curve = [score(averaged_weights(snapshots, length, step)) for step in earlier]
    network.load_state_dict(averaged_weights(snapshots, length))
    return {
        **stored_weights(network.cpu()),
        "loss": live.losses(),
        "lengths": np.array(list(scores)),
        "length_losses": np.array(list(scores.values())),
        "length": np.array(length),
        "snapshot_steps": np.array([*earlier, last]),
        "snapshot_losses": np.array([*curve, scores[length]]),
    }


def take_part(study: PriorTraining, folder: Path) -> None:
    """Train with the main process when it does, as a process that writes nothing.

    Args:
        study: All choices, the same as there.
        folder: That of ``fitted``.

    Raises:
        ValueError: Something is wrong here, but not in the main process.
    """
    processes = Processes.launched(study.device)
    split: Split | None = None
    refused: ValueError | None = None
    try:
        split = study.split_slices()
    except ValueError as error:
        refused = error
    while (told := processes.told("")) == _TRAIN:
        if split is None:
            break
        try:
            _trained(study, split, folder, processes, None)
        # the main process finds the same, and is the one to say it
        except ValueError as error:
            refused = error
    if refused is not None and told != _REFUSED:
        raise refused


def end_parts(study: PriorTraining, *, refused: bool = False) -> None:
    """Tell the processes of ``take_part`` that there is nothing more to do.

    Args:
        study: All choices.
        refused: Something is wrong, and the main process says it.
    """
    Processes.launched(study.device).told(_REFUSED if refused else _END)


def _heldout_loss(study: PriorTraining, network: nn.Module, heldout: SliceSet) -> float:
    """Return the mean loss on held-out slices, always with the same noise."""
    device = heldout.values.device
    generator = derive_generator(study.seed, "heldout-loss", device=device)
    objective = study.objective.build()
    network.eval()
    losses = [
        heldout_losses(network, heldout, objective, generator=generator) for _ in range(_NUM_DRAWS)
    ]
    return float(torch.stack(losses).mean())


def _trained(
    study: PriorTraining,
    split: Split,
    folder: Path,
    processes: Processes,
    live: LiveReport | None,
) -> nn.Module:
    device, options = processes.device(study.device), study.optimisation
    network = untrained(study, split.slices).to(device)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averages = PowerAverages(network, study.averages.lengths)
    kept = _Kept(
        averages,
        folder / "snapshots" if processes.is_main else None,
        study.averages.steps(options.num_steps),
    )
    recipe = PriorRecipe(
        study.objective.build(),
        options.training(),
        batch_size=options.batch_size,
        num_parts=options.num_parts,
        num_passes=options.num_passes,
        change=study.augmentation.build(),
        label_dropout=study.label_dropout,
    )
    about = {"study": study.model_dump_json(include=_decisive()), "slices": _described(split)}
    checkpoint = TrainingCheckpoint(
        folder / "training.safetensors", about, every=options.checkpoint_every, generators=()
    )
    return train_prior(
        network,
        split.training.to(device),
        recipe,
        seed=study.seed,
        tracker=kept,
        processes=processes,
        checkpoint=checkpoint,
        callback=live,
    )


def _decisive() -> set[str]:
    """Return the choices that must be the same for a training to go on."""
    return {"seed", "network", "objective", "augmentation", "averages", "label_dropout"}


def _described(split: Split) -> str:
    sides = split.describe()
    return f"{sides['training']['num_slices']} of {tuple(split.slices.values.shape)}"
