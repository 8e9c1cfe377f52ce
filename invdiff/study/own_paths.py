"""Paths that are set on the command line: a shipped sample must not take their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["check_own_paths"]


def check_own_paths(values: Any, keys: Sequence[str]) -> None:
    """Refuse an override that sets a path which isn't there, where a fallback would hide it.

    Args:
        values: The configuration after the override.
        keys: Of the override, such as ``["slices", "path"]``.

    Raises:
        ValueError: One line: which key, and which path.
    """
    covered, below = False, values
    for key in keys:
        if not isinstance(below, dict):
            return
        covered, below = covered or bool(below.get("fallback")), below.get(key)
    for place, path in _hidden(below, list(keys), covered):
        if not Path(path).exists():
            raise ValueError(f"{place}: {path}: no such file or folder")


def _hidden(value: Any, keys: list[str], covered: bool) -> Iterator[tuple[str, str]]:
    """Yield key and text of each path below a value that a fallback stands beside or above."""
    if isinstance(value, list):
        for item in value:
            yield from _hidden(item, keys, covered)
    elif isinstance(value, dict):
        beside = covered or bool(value.get("fallback"))
        for key, below in value.items():
            yield from _hidden(below, [*keys, str(key)], beside)
    elif covered and keys[-1] == "path" and isinstance(value, str):
        yield ".".join(keys), value
