"""The process of one cell: ``python -m invdiff.study.sweep.process FOLDER CELL``."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

__all__ = ["main"]


def main() -> int:
    """Run the cell, and return 0, or ``EXIT_FAILED`` after writing down why."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from invdiff.study.sweep.environment import EXIT_FAILED
    from invdiff.study.sweep.execute import execute
    from invdiff.study.sweep.folders import Status

    status = execute(Path(sys.argv[1]), sys.argv[2])
    return 0 if status is Status.FINISHED else EXIT_FAILED


def _end_with_parent() -> None:
    """Wait for the end of the standard input, which comes when the sweep is gone."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
