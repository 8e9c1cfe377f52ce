"""What the folder of a result holds, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Stored"]


class Stored(dict[str, Any]):
    """Metrics or arrays that were read from a folder; one that isn't there is refused by its name.

    Args:
        values: What was read.
        folder: Where.
        what: What one of them is called, such as "metric".
    """

    def __init__(self, values: Mapping[str, Any], folder: Path, what: str) -> None:
        super().__init__(values)
        self._folder, self._what = folder, what

    def __missing__(self, key: str) -> Any:
        """Refuse it.

        Raises:
            ValueError: Always; a result of another version may lack what the report shows.
        """
        raise ValueError(
            f"{self._folder}: has no {self._what} {key!r}, which the report of this version shows: "
            "compute the result again"
        )
