"""How a volume is worked on: a setting of the machine, not of the method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from invdiff.volumes.memory import Memory
from invdiff.volumes.storage import Storage, StorageKind

__all__ = ["Execution"]

# vectors that a step of a sampler holds at most where volumes stay on the device
_VECTORS = 16


@dataclass(frozen=True)
class Execution:
    """How a volume is worked on: a setting of the machine, not of the method.

    The results are the same up to rounding, and to the bit for the same number of slices at a
    time. The limit decides that by measurement: where a run must resume to the same bits, give
    ``chunk_size``.

    Args:
        memory_limit: Bytes that a run may take on the compute device, beside what is there
            before it: weights, operator and, if they are there, measurements. Network and
            two-dimensional operators work on as many slices at a time as it allows, by what one
            slice is measured to take; a three-dimensional operator takes what it takes. No limit
            by default.
        storage: Where volumes live: ``"device"`` with the measurements, ``"host"`` in memory,
            ``"disk"`` in mapped files, and then the limit holds for the host's own memory too if
            it computes.
        folder: Of the files; that of temporary files by default.
        device: Of network and operator, if it isn't where the measurements are.
        chunk_size: Slices at a time, instead of what the limit allows.

    Raises:
        ValueError: A number that isn't positive, an unknown storage, or a folder without
            ``"disk"``.
    """

    memory_limit: int | None = None
    storage: StorageKind = "device"
    folder: Path | str | None = None
    device: torch.device | str | None = None
    chunk_size: int | None = None

    def __post_init__(self) -> None:
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ValueError(f"chunk_size: expected slices > 0, got {self.chunk_size}")
        if self.memory_limit is not None and self.memory_limit < 1:
            raise ValueError(f"memory_limit: expected bytes > 0, got {self.memory_limit}")
        self._storage()

    def memory(self, vector_bytes: int) -> Memory:
        """Return the memory of a run with volumes of that size, all samples together.

        Raises:
            ValueError: The volumes alone take more than the limit.
        """
        device = None if self.device is None else torch.device(self.device)
        if self.storage != "device":
            return Memory(self._storage(), device, self.memory_limit, self.chunk_size)
        if self.memory_limit is None:
            return Memory(device=device, slices=self.chunk_size)
        left = self.memory_limit - _VECTORS * vector_bytes
        if left <= 0:
            raise ValueError(
                f"memory_limit: {_VECTORS} vectors of {vector_bytes} bytes exceed the "
                f"{self.memory_limit} bytes; keep volumes in storage 'host' or 'disk'"
            )
        return Memory(device=device, limit=left, slices=self.chunk_size)

    def _storage(self) -> Storage:
        return Storage(self.storage, None if self.folder is None else Path(self.folder))
