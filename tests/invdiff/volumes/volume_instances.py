"""One list of samplers of volumes, and the small problem that every law runs on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch

from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.volumes import (
    DDS3D,
    DiffPIR3D,
    QuadraticZ,
    RedDiff3D,
    SlicePrior,
    Together,
    TotalVariationZ,
    VolumeSampler,
)
from operators import FiniteDifferences, GaussianNoise, SliceStack

SLICES, SHAPE = 6, (4, 3)

VOLUME_SAMPLERS: dict[str, VolumeSampler] = {
    "red-diff": RedDiff3D(num_steps=6),
    "red-diff-quadratic": RedDiff3D(num_steps=6, coupling=QuadraticZ(0.3)),
    "red-diff-tv": RedDiff3D(num_steps=6, coupling=TotalVariationZ(0.3)),
    "red-diff-tv-absolute": RedDiff3D(
        num_steps=6, coupling=TotalVariationZ(0.02, scaling="absolute")
    ),
    "red-diff-together": RedDiff3D(
        num_steps=6, coupling=Together((TotalVariationZ(0.3), QuadraticZ(0.1)))
    ),
    "dds": DDS3D(num_steps=6),
    "dds-tv": DDS3D(num_steps=6, coupling=TotalVariationZ(0.01, scaling="absolute")),
    "dds-deterministic": DDS3D(num_steps=6, eta=0.0, coupling=QuadraticZ(0.1)),
    "diffpir": DiffPIR3D(num_steps=6),
    "diffpir-tv": DiffPIR3D(num_steps=6, coupling=TotalVariationZ(0.1)),
}

# methods that need all slices in one place
WHOLE_ONLY: set[str] = set()


def slice_prior() -> GaussianMixturePrior:
    """Two kinds of slices, so that the denoiser is not linear."""
    generator = derive_generator(0, "prior")
    n = SHAPE[0] * SHAPE[1]
    factors = torch.randn(2, n, n, generator=generator, dtype=torch.float64)
    means = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)
    weights = torch.tensor([0.4, 0.6], dtype=torch.float64)
    return GaussianMixturePrior(weights, means, factors @ factors.mT / n)


def problem(first: int = 0, count: int = SLICES) -> tuple[Likelihood, SlicePrior]:
    """The slices of a volume from ``first`` on, seen through an operator with a null space."""
    generator = derive_generator(0, "problem")
    prior = slice_prior()
    x = prior.sample(SLICES, generator=generator)
    noise, operator = GaussianNoise(0.2), FiniteDifferences(SHAPE)
    y = noise.sample(operator(x), generator=generator)[first : first + count]
    return Likelihood(SliceStack(operator, count), noise, y), SlicePrior(prior, count)


class Exchange:
    """Where the parts of a volume, each in its thread, hand each other tensors."""

    def __init__(self, num_parts: int) -> None:
        self.slots: list[torch.Tensor | None] = [None] * num_parts
        self.barrier = threading.Barrier(num_parts, timeout=60)

    def gathered(self, rank: int, value: torch.Tensor) -> list[torch.Tensor]:
        self.slots[rank] = value
        self.barrier.wait()
        values = [v for v in self.slots if v is not None]
        self.barrier.wait()
        return values


class Part:
    """A split of a volume whose parts are threads."""

    def __init__(self, exchange: Exchange, rank: int, first: int, count: int, total: int) -> None:
        self.exchange, self.rank = exchange, rank
        self.first, self.count, self.total = first, count, total

    def all_sum(self, v: torch.Tensor) -> torch.Tensor:
        return torch.stack(self.exchange.gathered(self.rank, v)).sum(0)

    def after(self, x: torch.Tensor) -> torch.Tensor | None:
        firsts = self.exchange.gathered(self.rank, x.narrow(-3, 0, 1))
        return firsts[self.rank + 1] if self.first + self.count < self.total else None

    def before(self, x: torch.Tensor) -> torch.Tensor | None:
        lasts = self.exchange.gathered(self.rank, x.narrow(-3, x.shape[-3] - 1, 1))
        return lasts[self.rank - 1] if self.rank else None


def run_in_parts(counts: Sequence[int], work: Callable[[Part], torch.Tensor]) -> list[torch.Tensor]:
    """Run the work of every part in a thread of its own, and return what each has found."""
    exchange, total = Exchange(len(counts)), sum(counts)
    found: list[torch.Tensor | None] = [None] * len(counts)
    failures: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            found[rank] = work(Part(exchange, rank, sum(counts[:rank]), counts[rank], total))
        except BaseException as failure:
            failures.append(failure)
            # or the others wait for this one
            exchange.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(counts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [value for value in found if value is not None]
