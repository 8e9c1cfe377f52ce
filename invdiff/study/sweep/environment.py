"""What a sweep and the processes of its cells tell each other without a file."""

from __future__ import annotations

__all__ = ["EXIT_FAILED", "thread_variables"]

# exit status of a cell that failed; one that neither Python nor a shell gives by itself
EXIT_FAILED = 9

_COUNTS = ("OMP", "MKL", "OPENBLAS", "NUMBA")


def thread_variables(threads: int) -> dict[str, str]:
    """Return variables that limit threads and hide progress bars.

    They must be there before torch is imported.

    Args:
        threads: Of each library.
    """
    counts = {f"{library}_NUM_THREADS": str(threads) for library in _COUNTS}
    return {**counts, "TQDM_DISABLE": "1"}
