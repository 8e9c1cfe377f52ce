"""What else one needs to know to repeat a result."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from invdiff.study.config import Experiment
from invdiff.study.modality import modality_of
from invdiff.study.problem import Problem

__all__ = ["circumstances", "provenance"]

_PACKAGES = ("invdiff", "torch", "numpy", "scipy", "diffusers", "pydicom", "nibabel")


def provenance(experiment: Experiment, problem: Problem, prior: dict[str, Any]) -> dict[str, Any]:
    """Return versions, commit, device, seed, memory and the units of the images."""
    return {
        "description": problem.description,
        **circumstances(experiment.seed, experiment.device, _extras(experiment)),
        "prior": prior,
        "modality": modality_of(experiment, problem),
        "units": problem.units.describe(),
        "pixel_mm": problem.pixel_mm,
        **problem.notes,
    }


def circumstances(seed: int, device: str, extras: Sequence[str] = ()) -> dict[str, Any]:
    """Return versions, commit, device, seed and memory.

    Args:
        seed: Of all random numbers.
        device: Where it was computed.
        extras: Further packages that took part.
    """
    return {
        "versions": {name: version(name) for name in (*_PACKAGES, *extras)}
        | {"python": sys.version.split()[0]},
        "commit": _commit(),
        "platform": platform.platform(),
        "device": _device(device),
        "threads": torch.get_num_threads(),
        "seed": seed,
        "peak_memory_mb": _peak_memory(device),
    }


def _extras(experiment: Experiment) -> tuple[str, ...]:
    return ("sigpy", "PyWavelets") if "l1_wavelet" in experiment.baselines else ()


def _commit() -> str | None:
    """Commit of the checkout that the package runs from, None if it is installed elsewhere."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return f"{commit} with changes" if _git(folder, "status", "--porcelain", "-uno") else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    run = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def _device(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _peak_memory(device: str) -> float:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    # kilobytes on Linux, bytes on macOS
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
