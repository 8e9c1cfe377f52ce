"""Nested tuples of tensors in a safetensors file, written piece by piece."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

__all__ = ["IncompleteFile", "read_tensors", "write_tensors"]

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_PIECE = 2**22


class IncompleteFile(ValueError):
    """A file ends early, or isn't what it should be."""


def write_tensors(path: Path, tree: Any, about: Mapping[str, str]) -> None:
    """Write a file that is complete as soon as it has its name.

    Tensors may be larger than the memory: no more than a piece of them is copied at a time, as
    the package's own writer doesn't offer.

    Args:
        path: The name; a file that has it is replaced.
        tree: A tensor, or a tuple of trees.
        about: Text that goes with them.

    Raises:
        TypeError: Something else than tensors in tuples, or of a dtype that has no name there.
    """
    tensors = list(_leaves(tree))
    structure = {"structure": json.dumps(_structure(tree))}
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        header = json.dumps(_header(tensors, {**about, **structure})).encode()
        header += b" " * (-len(header) % 8)
        file.write(len(header).to_bytes(8, "little") + header)
        for tensor in tensors:
            _write(file, tensor)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def read_tensors(path: Path) -> tuple[Any, dict[str, str]]:
    """Return the tree on the CPU, named tuples as plain ones, and the text that goes with it.

    The tensors are mapped: of a large file, only what is used is read.

    Raises:
        IncompleteFile: The file is missing, ends early, or is no such file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            leaves = [file.get_tensor(str(i)) for i in range(len(file.keys()))]
        return _tree(json.loads(about.pop("structure")), iter(leaves)), about
    except (SafetensorError, OSError, KeyError, StopIteration) as error:
        raise IncompleteFile(f"{path}: {error}") from error


def _leaves(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield torch.view_as_real(tree.resolve_conj()) if tree.is_complex() else tree
    else:
        for branch in tree:
            yield from _leaves(branch)


def _structure(tree: Any) -> Any:
    """Return lists for tuples, and "complex" or "real" for tensors."""
    if isinstance(tree, Tensor):
        if tree.dtype.to_real() not in _NAMES:
            raise TypeError(f"checkpoint: cannot hold tensors of {tree.dtype}")
        return "complex" if tree.is_complex() else "real"
    if not isinstance(tree, tuple):
        raise TypeError(f"checkpoint: expected tensors in tuples, got {type(tree).__name__}")
    return [_structure(branch) for branch in tree]


def _tree(structure: Any, leaves: Iterator[Tensor]) -> Any:
    if isinstance(structure, list):
        return tuple(_tree(branch, leaves) for branch in structure)
    leaf = next(leaves)
    return torch.view_as_complex(leaf) if structure == "complex" else leaf


def _header(tensors: list[Tensor], about: Mapping[str, str]) -> dict[str, Any]:
    header: dict[str, Any] = {"__metadata__": dict(about)}
    end = 0
    for i, tensor in enumerate(tensors):
        first, end = end, end + tensor.nbytes
        name = _NAMES[tensor.dtype]
        header[str(i)] = {"dtype": name, "shape": list(tensor.shape), "data_offsets": [first, end]}
    return header


def _write(file: IO[bytes], tensor: Tensor) -> None:
    """Write the values in their order, the leading axes one after the other."""
    if tensor.ndim > 0 and tensor.nbytes > _PIECE:
        for row in tensor:
            _write(file, row)
        return
    values = tensor.detach().cpu().contiguous().reshape(-1)
    file.write(values.view(torch.uint8).numpy().tobytes() if values.numel() else b"")


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
