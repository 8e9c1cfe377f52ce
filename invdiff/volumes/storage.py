"""Where volumes live: on the compute device, in host memory or in files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["Storage", "StorageKind"]

StorageKind = Literal["device", "host", "disk"]


@dataclass(frozen=True)
class Storage:
    """Memory for volumes; what is allocated is freed with the last tensor that uses it.

    A volume on disk is a shared mapping of a file: the system keeps of it in memory what fits,
    and a process may map more than the machine's memory. The file loses its name as soon as it
    is mapped, so that nothing is left of a run, killed ones included.

    Args:
        kind: ``"device"``, ``"host"`` or ``"disk"``.
        folder: Of the files, created if need be; the system's folder for temporary files by
            default. One that is itself in memory (tmpfs) gains nothing over ``"host"``.
        device: Of ``"device"``.

    Raises:
        ValueError: An unknown kind, or a folder for another kind than ``"disk"``.
    """

    kind: StorageKind = "device"
    folder: Path | None = None
    device: torch.device | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(StorageKind):
            raise ValueError(f"Storage: expected one of {get_args(StorageKind)}, got {self.kind!r}")
        if self.folder is not None and self.kind != "disk":
            raise ValueError(f"Storage: a folder is for kind 'disk', got {self.kind!r}")

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return a tensor of that shape; its values are arbitrary.

        Raises:
            OSError: The disk is too full, or the folder cannot be written.
        """
        if self.kind == "disk":
            return self._mapped(torch.Size(shape), dtype)
        device = self.device if self.kind == "device" else torch.device("cpu")
        return torch.empty(tuple(shape), dtype=dtype, device=device)

    def _mapped(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        if not shape.numel():
            return torch.empty(shape, dtype=dtype)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="volume-", suffix=".map", dir=self.folder)
        try:
            _reserve(descriptor, shape.numel() * dtype.itemsize)
            flat = torch.from_file(name, shared=True, size=shape.numel(), dtype=dtype)
        finally:
            os.close(descriptor)
            Path(name).unlink()
        return flat.reshape(shape)


def _reserve(descriptor: int, size: int) -> None:
    """Claim the blocks now: a full disk is an error here, but a bus error in a mapped file."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)
