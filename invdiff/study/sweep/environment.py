"""What a process must find in its environment before torch is imported."""

from __future__ import annotations

__all__ = ["thread_variables"]

_COUNTS = ("OMP", "MKL", "OPENBLAS", "NUMBA")


def thread_variables(threads: int) -> dict[str, str]:
    """Return environment variables that limit threads, and hide the progress bars of cells."""
    counts = {f"{library}_NUM_THREADS": str(threads) for library in _COUNTS}
    return {**counts, "TQDM_DISABLE": "1"}
