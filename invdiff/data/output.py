"""Write under a temporary name, then rename: a file is complete or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["new_file", "new_folder"]


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield the name to write to; it becomes ``path`` when the block ends without an error.

    Raises:
        ValueError: ``path`` exists and may not be overwritten, or its folder does not exist.
    """
    _check_parent(path)
    if path.exists() and not overwrite:
        raise ValueError(f"{path}: exists already; pass overwrite=True to replace it")
    # the suffix stays last, since the formats choose compression by it
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, overwrite: bool, suffix: str) -> Iterator[Path]:
    """Yield an empty folder to fill; it becomes ``path`` when the block ends without an error.

    Args:
        path: An absent or empty folder; with ``overwrite``, one that holds only ``suffix`` files.
        overwrite: Whether such files may be replaced, all of them.
        suffix: Such as ``".dcm"``.

    Raises:
        ValueError: ``path`` is a file, or holds files that may not be replaced.
    """
    _check_parent(path)
    _check_replaceable(path, overwrite, suffix)
    partial = path.with_name(f".partial-{path.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder {path.parent} does not exist")


def _check_replaceable(path: Path, overwrite: bool, suffix: str) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise ValueError(f"{path}: expected a folder, found a file")
    present = sorted(path.iterdir())
    if present and not overwrite:
        raise ValueError(f"{path}: holds {len(present)} files; pass overwrite=True to replace them")
    foreign = [p.name for p in present if p.suffix != suffix or not p.is_file()]
    if foreign:
        raise ValueError(f"{path}: only {suffix} files are replaced, found {foreign[0]}")
