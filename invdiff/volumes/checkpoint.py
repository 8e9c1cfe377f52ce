"""Checkpoints in files: a run that was killed goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.volumes.checkpoint_file import IncompleteFile, read_tensors, write_tensors
from invdiff.volumes.split import Split

__all__ = ["FileCheckpoints", "fingerprint"]

_KEPT = 2
_log = logging.getLogger(__name__)


def fingerprint(
    sampler: Any,
    likelihood: Likelihood,
    num_samples: int,
    generator: torch.Generator,
    split: Split | None = None,
) -> dict[str, str]:
    """Return what must be the same for a run to go on, by name.

    The settings of the sampler, the state of the generator, the shapes, the measurements and the
    slices that are held here. A prior has no name of its own: add what tells it apart.

    Args:
        sampler: A frozen dataclass.
        likelihood: As given to the sampler.
        num_samples: Volumes that are drawn.
        generator: In the state in which the sampler gets it.
        split: As given to the sampler.
    """
    found = {"sampler": type(sampler).__name__, "num_samples": str(num_samples)}
    for field in dataclasses.fields(sampler):
        found[f"sampler.{field.name}"] = repr(getattr(sampler, field.name))
    found["seed"] = hashlib.blake2b(generator.get_state().numpy().tobytes()).hexdigest()[:16]
    found["operator"] = type(likelihood.operator).__name__
    found["noise"] = repr(likelihood.noise)
    found["image_shape"] = str(tuple(likelihood.image_shape))
    found["measurements"] = _digest(likelihood.y)
    if split is not None:
        found["slices"] = f"{split.count} from {split.first} of {split.total}"
    return found


class FileCheckpoints:
    """The state of a run in a folder, as safetensors; it resumes to the same bits.

    A new file gets its name when it is complete, and the last two are kept. A broken file is
    passed over, for the one before it.

    Args:
        folder: Of one run; created if need be.
        fingerprint: What must be the same for the run to go on, by name.
        every: Steps from one checkpoint to the next.
        seconds: Instead, the least time from one to the next; for a run of one rank.
        rank: Number of this process; each one has its files, in a folder that all of them see.
        num_ranks: Processes of the run. It goes on from the last step that all of them have kept.

    Raises:
        ValueError: A number out of its range, or ``seconds`` with several ranks, which would
            keep different steps.
    """

    def __init__(
        self,
        folder: Path | str,
        fingerprint: Mapping[str, str],
        *,
        every: int = 1,
        seconds: float | None = None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if every < 1 or not 0 <= rank < num_ranks or (seconds is not None and seconds < 0):
            raise ValueError(
                "FileCheckpoints: expected every >= 1, seconds >= 0 and 0 <= rank < num_ranks, "
                f"got {every}, {seconds}, {rank} and {num_ranks}"
            )
        if seconds is not None and num_ranks > 1:
            raise ValueError("FileCheckpoints: several ranks keep the same steps: give 'every'")
        self._folder, self._fingerprint = Path(folder), dict(fingerprint)
        self._every, self._seconds = every, seconds
        self._rank, self._num_ranks = rank, num_ranks
        self._last = time.monotonic()
        self._resumed: int | None = None

    def load(self) -> tuple[int, Any] | None:
        """Return the number of the next step and the parts of the state; None at the start.

        The parts are tensors on the CPU in nested tuples, as the state that was saved.

        Raises:
            ValueError: The checkpoint is of another run, or none of the files is complete.
        """
        steps = [self._steps(rank) for rank in range(self._num_ranks)]
        if not any(steps):
            return None
        for step in sorted(set.intersection(*steps), reverse=True):
            state = self._complete(step)
            if state is not None:
                self._resumed = step
                return step, state
        raise ValueError(
            f"checkpoints: no step in {self._folder} is complete; delete the folder to start anew"
        )

    def save(self, step: int, state: Any) -> None:
        """Keep the state before a step, if it is time; the first and a resumed one are known."""
        if not self._due(step):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        about = {"step": str(step), "fingerprint": json.dumps(self._fingerprint)}
        write_tensors(self._path(self._rank, step), state, about)
        self._last = time.monotonic()
        for old in sorted(self._steps(self._rank))[:-_KEPT]:
            self._path(self._rank, old).unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete the files of this rank: the run is done."""
        for step in self._steps(self._rank):
            self._path(self._rank, step).unlink(missing_ok=True)

    def _due(self, step: int) -> bool:
        if step in (0, self._resumed):
            return False
        if self._seconds is not None:
            return time.monotonic() - self._last >= self._seconds
        return step % self._every == 0

    def _complete(self, step: int) -> Any:
        """Return this rank's state if all ranks have theirs, else None."""
        found = None
        for rank in range(self._num_ranks):
            path = self._path(rank, step)
            try:
                state, about = read_tensors(path)
            except IncompleteFile as error:
                _log.warning("checkpoint passed over: %s", error)
                return None
            if rank == self._rank:
                self._compare(path, json.loads(about["fingerprint"]))
                found = state
        return found

    def _compare(self, path: Path, kept: dict[str, str]) -> None:
        changed = list(_changes(kept, self._fingerprint))
        if changed:
            raise ValueError(f"checkpoint {path} is of another run: {'; '.join(changed)}")

    def _path(self, rank: int, step: int) -> Path:
        return self._folder / f"rank{rank}of{self._num_ranks}-step{step:06d}.safetensors"

    def _steps(self, rank: int) -> set[int]:
        pattern = re.compile(rf"rank{rank}of{self._num_ranks}-step(\d+)\.safetensors")
        matches = (pattern.fullmatch(path.name) for path in self._folder.glob("rank*"))
        return {int(match[1]) for match in matches if match}


def _changes(kept: dict[str, str], given: dict[str, str]) -> Iterator[str]:
    for name in sorted(kept.keys() | given.keys()):
        if kept.get(name) != given.get(name):
            yield f"{name} was {kept.get(name)}, is {given.get(name)}"


def _digest(y: Tensor) -> str:
    digest = hashlib.blake2b(f"{y.dtype} {tuple(y.shape)}".encode())
    for row in torch.view_as_real(y) if y.is_complex() else y:
        digest.update(row.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
