"""The output folder: under another name until it is complete, never overwritten unasked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from invdiff.study.base import Config

__all__ = ["changed_keys", "discard_unstarted", "finish", "is_finished", "partial_of", "prepare"]


def partial_of(out: Path) -> Path:
    """Return the folder that is filled until it is complete and gets the name ``out``."""
    return out.with_name(f"{out.name}.partial")


def prepare(experiment: Config, out: Path, *, overwrite: bool, resume: bool) -> Path:
    """Return the folder to fill, next to ``out``, with ``config.yaml`` in it.

    Raises:
        ValueError: There are files that may be neither replaced nor gone on with.
    """
    partial = partial_of(out)
    _check_out(out, overwrite)
    if resume and partial.is_dir():
        _check_same(experiment, partial)
    elif partial.exists():
        if not overwrite:
            raise ValueError(
                f"{partial}: an interrupted run; --resume goes on with it, --overwrite starts anew"
            )
        shutil.rmtree(partial)
    partial.mkdir(parents=True, exist_ok=True)
    _write(partial / "config.yaml", _as_yaml(experiment))
    return partial


def changed_keys(experiment: Config, folder: Path) -> list[str]:
    """Return which values of an experiment the ``config.yaml`` of a folder has otherwise, sorted.

    An empty folder, of a run that was killed before it wrote anything, has none.

    Raises:
        ValueError: The file can't be read.
    """
    path = folder / "config.yaml"
    if not path.is_file() and not any(folder.iterdir()):
        return []
    now = yaml.safe_load(_as_yaml(experiment))
    before = _values(path) if path.is_file() else {}
    return sorted(key for key in now if key not in before or before[key] != now[key])


def is_finished(experiment: Config, out: Path) -> bool:
    """Whether ``out`` holds the result of this very experiment."""
    if not (out / "report.html").is_file():
        return False
    _check_same(experiment, out)
    return True


def discard_unstarted(partial: Path) -> bool:
    """Remove a folder that holds nothing but the configuration, and return whether it did."""
    if {path.name for path in partial.iterdir()} - {"config.yaml"}:
        return False
    shutil.rmtree(partial)
    return True


def finish(partial: Path, out: Path) -> None:
    """Give the folder its name, in the place of an older one."""
    shutil.rmtree(partial / "stages", ignore_errors=True)
    if out.exists():
        shutil.rmtree(out)
    os.replace(partial, out)


def _check_out(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: expected a folder, found a file")
    if not out.exists() or not any(out.iterdir()):
        return
    if not overwrite:
        raise ValueError(f"{out}: exists and is not empty; --overwrite replaces it")
    # a mistyped --out must not cost somebody's files
    if not (out / "config.yaml").is_file():
        raise ValueError(f"{out}: holds no earlier result; --overwrite replaces only those")


def _check_same(experiment: Config, folder: Path) -> None:
    changed = changed_keys(experiment, folder)
    if changed:
        raise ValueError(
            f"{folder}: --resume needs the same configuration, {', '.join(changed)} changed"
        )


def _as_yaml(experiment: Config) -> str:
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)


def _write(path: Path, text: str) -> None:
    # a run that is killed here leaves no half of a file
    partial = path.with_suffix(".partial.yaml")
    partial.write_text(text)
    os.replace(partial, path)


def _values(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable ({' '.join(str(error).split())})") from None
    return values if isinstance(values, dict) else {}
