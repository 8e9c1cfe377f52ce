"""A training that was killed goes on, to the same bits."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from invdiff.training.optimizer_state import optimizer_state
from invdiff.training.tracker import Tracker
from invdiff.training.weights import check_tensors, reason

__all__ = ["TrainingCheckpoint"]


class TrainingCheckpoint:
    """The whole state of a training in one safetensors file.

    It holds the network, the average of its weights, the state of the optimizer, the losses so
    far, the state of a tracker and those of generators. A new file gets the name when it is
    complete.

    Args:
        path: Of one training; its folder is made if need be.
        about: What must be the same for the training to go on, by name, such as its data.
        every: Steps from one checkpoint to the next; there is one after the last step.
        generators: All that the loss draws from, in a fixed order. One that draws on a GPU has
            a state of another size than one on the CPU.

    Raises:
        ValueError: ``every`` below 1.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        about: Mapping[str, str],
        *,
        every: int,
        generators: Sequence[torch.Generator],
    ) -> None:
        if every < 1:
            raise ValueError(f"TrainingCheckpoint: expected every >= 1, got {every}")
        self.path, self.about = Path(path), dict(about)
        self.every, self.generators = every, tuple(generators)
        self._losses: list[Tensor] = []

    def restore(
        self,
        network: nn.Module,
        average: nn.Module,
        optimizer: torch.optim.Optimizer,
        training: str,
        tracker: Tracker | None = None,
    ) -> list[Tensor]:
        """Bring a training to where its file is, and return the losses of the steps so far.

        Args:
            network: Its weights become those of the file.
            average: As the network.
            optimizer: Of the network, before its first step.
            training: Settings that must be the same, in words.
            tracker: Also goes on from the file.

        Raises:
            ValueError: The file is damaged, or of another training.
        """
        self.about["training"] = training
        self._losses = []
        if not self.path.exists():
            return []
        kept, about = self._read()
        if changed := list(_changes(about, self.about)):
            raise ValueError(f"{self.path}: of another training: {'; '.join(changed)}")
        found = _grouped(kept)
        try:
            for name, module in (("network", network), ("average", average)):
                check_tensors(module.state_dict(), found.get(name, {}))
            state = optimizer_state(found.get("optimizer", {}), optimizer)
            self._restore_generators(found.get("generators", {}))
            if tracker is not None:
                tracker.restore(found.get("tracker", {}))
            losses = kept["losses"].to(next(network.parameters()).device)
            if losses.ndim != 1:
                raise ValueError(f"losses: expected one a step, got {tuple(losses.shape)}")
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path}: {reason(error)}") from error
        network.load_state_dict(found["network"])
        average.load_state_dict(found["average"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        self._losses = list(losses)
        return list(self._losses)

    def is_due(self, num_steps: int, *, last: bool = False) -> bool:
        """Return whether the state is kept after so many steps of the whole training.

        Args:
            num_steps: 1 after the first.
            last: No step follows.
        """
        return last or num_steps % self.every == 0

    def save(
        self,
        loss: Tensor,
        network: nn.Module,
        average: nn.Module,
        optimizer: torch.optim.Optimizer,
        tracker: Tracker | None = None,
        *,
        last: bool = False,
    ) -> None:
        """Keep the state after a step, if it is time.

        Args:
            loss: Of the step, 0-dimensional.
            network: After the step.
            average: After the step.
            optimizer: After the step.
            tracker: After the step.
            last: No step follows.
        """
        self._losses.append(loss.detach())
        if not self.is_due(len(self._losses), last=last):
            return
        tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
        for i, entries in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{name}": value for name, value in entries.items()}
        for i, generator in enumerate(self.generators):
            tensors[f"generators.{i}"] = generator.get_state()
        if tracker is not None:
            tensors |= {f"tracker.{name}": value for name, value in tracker.state().items()}
        tensors["losses"] = torch.stack(self._losses)
        self._write(tensors)

    def delete(self) -> None:
        """Delete the file: the training is done."""
        self.path.unlink(missing_ok=True)

    def _write(self, tensors: Mapping[str, Tensor]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.new")
        # safetensors refuses tensors that share memory
        copies = {
            name: value.detach().to("cpu", copy=True).contiguous()
            for name, value in tensors.items()
        }
        save_file(copies, temporary, {"about": json.dumps(self.about)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def _read(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                names = file.keys()
                return {name: file.get_tensor(name) for name in names}, dict(about)
        except (OSError, SafetensorError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path}: not a readable checkpoint of a training ({reason(error)})"
            ) from error

    def _restore_generators(self, states: Mapping[str, Tensor]) -> None:
        if len(states) != len(self.generators):
            raise ValueError(f"expected {len(self.generators)} generators, got {len(states)}")
        for i, generator in enumerate(self.generators):
            generator.set_state(states[str(i)])


def _grouped(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = value
    return groups


def _changes(kept: Mapping[str, str], given: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(kept.keys() | given.keys()):
        if kept.get(name) != given.get(name):
            yield f"{name} was {kept.get(name)}, is {given.get(name)}"
