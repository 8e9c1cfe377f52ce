"""A volume in several parts, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Found = TypeVar("Found")


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

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat(self.exchange.gathered(self.rank, x), dim=-3)

    def after(self, x: torch.Tensor) -> torch.Tensor | None:
        firsts = self.exchange.gathered(self.rank, x.narrow(-3, 0, 1))
        return firsts[self.rank + 1] if self.first + self.count < self.total else None

    def before(self, x: torch.Tensor) -> torch.Tensor | None:
        lasts = self.exchange.gathered(self.rank, x.narrow(-3, x.shape[-3] - 1, 1))
        return lasts[self.rank - 1] if self.rank else None


def run_in_parts(counts: Sequence[int], work: Callable[[Part], Found]) -> list[Found]:
    """Run the work of every part in a thread of its own, and return what each has found."""
    exchange, total = Exchange(len(counts)), sum(counts)
    found: list[Found | None] = [None] * len(counts)
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
