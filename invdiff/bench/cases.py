"""What is timed, by name and device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from invdiff.bench.case import Case
from invdiff.bench.cases_ct import cone, scan
from invdiff.bench.cases_fourier import blur, mri, nufft
from invdiff.bench.machine import Machine

__all__ = ["CASES"]

_CPU: dict[str, Callable[[Machine], Case]] = {
    "ct-parallel-1": partial(scan, "parallel", 256, 180, 1),
    "ct-parallel-16": partial(scan, "parallel", 256, 180, 16),
    "ct-fan-16": partial(scan, "fan", 256, 180, 16),
    "ct-cone": partial(cone, 64, 60, 96),
    "mri-16": partial(mri, 320, 8, 16),
    "nufft-1e-3": partial(nufft, 1e-3, 256, 8, 64),
    "nufft-1e-6": partial(nufft, 1e-6, 256, 8, 64),
    "blur-16": partial(blur, 256, 3, 16),
}
_CUDA: dict[str, Callable[[Machine], Case]] = {
    "ct-parallel-64": partial(scan, "parallel", 256, 180, 64),
    "ct-parallel-512": partial(scan, "parallel", 512, 720, 64),
    "ct-fan-64": partial(scan, "fan", 256, 180, 64),
    "ct-cone": partial(cone, 256, 100, 384),
    "mri-64": partial(mri, 320, 8, 64),
    "nufft-1e-3": partial(nufft, 1e-3, 256, 8, 64),
    "blur-64": partial(blur, 256, 3, 64),
}
CASES = {"cpu": _CPU, "cuda": _CUDA}
