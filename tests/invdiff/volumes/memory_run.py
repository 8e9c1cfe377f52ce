"""Reconstruct a blurred volume in a given memory, and print what it took, as lines of JSON.

``python memory_run.py --storage disk --limit-mb 64 --size 256 --slices 200``
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from pathlib import Path

import torch

from invdiff.likelihood import Likelihood
from invdiff.volumes import (
    Execution,
    QuadraticZ,
    RedDiff3D,
    SlicePrior,
    Storage,
    Together,
    TotalVariationZ,
)
from operators import (
    Blur,
    GaussianNoise,
    ImageGrid,
    ParallelBeam2D,
    ParallelGeometry,
    SliceStack,
    gaussian_psf,
)

MB = 2**20


class ConvolvingPrior:
    """A network of one hidden layer: it takes memory as networks do."""

    data_range = (0.0, 1.0)

    def __init__(self, size: int, channels: int) -> None:
        self.image_shape = (size, size)
        generator = torch.Generator().manual_seed(0)
        self.kernel = torch.randn(channels, 1, 3, 3, generator=generator) / 9

    @torch.no_grad()
    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, 1, *self.image_shape)
        hidden = torch.nn.functional.conv2d(flat, self.kernel, padding=1).relu_()
        back = torch.nn.functional.conv_transpose2d(hidden, self.kernel, padding=1)
        return (0.5 * flat + 0.5 * back / len(self.kernel)).reshape(x.shape)


class PeakMemory:
    """The highest anonymous resident memory, above what there was at the start."""

    def __init__(self) -> None:
        self.first = self.peak = anonymous_bytes()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.002):
            self.peak = max(self.peak, anonymous_bytes())


def anonymous_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def problem(kind: str, size: int, slices: int, channels: int, disk: Storage):
    if kind == "blur":
        operator = Blur(gaussian_psf(1.0, 3), (size, size))
    else:
        grid = ImageGrid((size, size))
        operator = ParallelBeam2D(grid, ParallelGeometry.covering(grid, 30))
    x = torch.zeros(1, size, size)
    x[:, size // 4 : size // 2, size // 4 : size // 2] = 0.5
    y = disk.empty((slices, *operator.out_shape), torch.float32)
    for z in range(slices):
        y[z] = operator(x * (z / slices))[0]
    likelihood = Likelihood(SliceStack(operator, slices), GaussianNoise(0.05 * float(y.max())), y)
    return likelihood, SlicePrior(ConvolvingPrior(size, channels), slices)


def measured(given: argparse.Namespace, kind: str) -> dict[str, object]:
    """Return what a run takes beyond what the process has before it."""
    sampler = RedDiff3D(
        num_steps=given.steps, coupling=Together((TotalVariationZ(), QuadraticZ())), num_cg=4
    )
    disk, execution = Storage("disk", given.folder), None
    if kind != "plain":
        limit = None if given.limit_mb is None else given.limit_mb * MB
        execution = Execution(limit, kind, given.folder if kind == "disk" else None)
    likelihood, prior = problem(given.operator, given.size, given.slices, given.channels, disk)
    generator, started = torch.Generator().manual_seed(0), time.perf_counter()
    with PeakMemory() as memory:
        image = sampler.sample(
            likelihood, prior, generator=generator, callback=lambda p: None, execution=execution
        ).values[0]
    return {
        "storage": kind,
        "limit_mb": None if execution is None else given.limit_mb,
        "vector_mb": round(image.nbytes / MB, 1),
        "peak_mb": round((memory.peak - memory.first) / MB, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "sum": float(sum(v.double().sum() for v in image)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = ["plain", "device", "host", "disk"]
    parser.add_argument("--storage", nargs="+", choices=kinds, default=["disk"])
    parser.add_argument("--limit-mb", type=int)
    parser.add_argument("--operator", choices=["blur", "ct"], default="blur")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    # what libraries keep from their first call on is not the run's
    few = argparse.Namespace(**{**vars(given), "slices": 2, "limit_mb": None})
    measured(few, "disk")
    for kind in given.storage:
        print(json.dumps(measured(given, kind)), flush=True)


if __name__ == "__main__":
    main()
