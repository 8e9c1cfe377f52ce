"""What several sub-commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

__all__ = ["OutFolder", "SetValues", "expanded", "run_and_print"]

OutFolder = Annotated[Path, arg(metavar="DIR")]
SetValues = UseAppendAction[Annotated[tuple[str, ...], arg(metavar="KEY=VALUE")]]


def run_and_print(experiment: Any, out: Path, overwrite: bool, resume: bool) -> None:
    """Run an experiment and say how it went."""
    from invdiff.study.run_any import run_any

    metrics = run_any(experiment, out, overwrite=overwrite, resume=resume)
    print(f"{experiment.title or experiment.name}")
    width = max(map(len, metrics), default=0) + 2
    for name, value in metrics.items():
        if not isinstance(value, list):
            print(f"  {name:<{width}}{value:.4g}")
    print(f"report: {(out / 'report.html').resolve()}")


def expanded(words: Sequence[str]) -> list[str]:
    """Write ``--set a=1 b=2`` as ``--set a=1 --set b=2``."""
    result: list[str] = []
    after_set = False
    for word in words:
        after_set = word == "--set" or (after_set and "=" in word and not word.startswith("-"))
        if after_set and word != "--set" and result[-1] != "--set":
            result.append("--set")
        result.append(word)
    return result
