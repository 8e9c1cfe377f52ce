"""A volume in several parts, each in a thread of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

TIMEOUT = 60.0


class Exchange:
    def __init__(self, num_parts):
        self.barrier, self.shared = Barrier(num_parts, timeout=TIMEOUT), [None] * num_parts

    def gather(self, number, value):
        self.shared[number] = value
        self.barrier.wait()
        found = list(self.shared)
        self.barrier.wait()
        return found


class Part:
    def __init__(self, number, counts, exchange):
        self.number, self.exchange = number, exchange
        self.first, self.count, self.total = sum(counts[:number]), counts[number], sum(counts)

    def all_sum(self, v):
        return sum(self.exchange.gather(self.number, v))

    def after(self, x):
        found = self.exchange.gather(self.number, x)
        return None if self.number + 1 == len(found) else found[self.number + 1][..., :1, :, :]

    def before(self, x):
        found = self.exchange.gather(self.number, x)
        return None if self.number == 0 else found[self.number - 1][..., -1:, :, :]


def in_parts(counts, job):
    """Return what ``job(part)`` gives for every part, all of them at once."""
    exchange = Exchange(len(counts))
    with ThreadPoolExecutor(len(counts)) as pool:
        return list(pool.map(job, [Part(k, counts, exchange) for k in range(len(counts))]))
