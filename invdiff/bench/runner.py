"""Time all contenders of a case in turns, so that a slow moment of the machine hits each alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch.utils.benchmark import Timer

from invdiff.bench.case import Case, chosen_names
from invdiff.bench.cases import CASES
from invdiff.bench.contender import Contender, Unavailable, dot_error
from invdiff.bench.machine import Machine

__all__ = ["Row", "bench_operators"]


@dataclass(frozen=True)
class Row:
    """What was measured of one contender; times in milliseconds an image, None if it was absent.

    Args:
        case: Name of the case.
        title: What is measured, in words.
        contender: Package.
        forward_ms: Median of the forward map.
        adjoint_ms: Median of the adjoint.
        limit_ms: The limit on paper of either.
        dot_error: How far the pair is from being adjoint.
        remark: Why it was absent.
    """

    case: str
    title: str
    contender: str
    forward_ms: float | None = None
    adjoint_ms: float | None = None
    limit_ms: float | None = None
    dot_error: float | None = None
    remark: str = ""


def bench_operators(
    machine: Machine,
    names: Sequence[str] = (),
    *,
    rounds: int = 5,
    progress: Callable[[str], None] = lambda name: None,
) -> Iterator[Row]:
    """Yield the rows of the cases, ours first.

    Args:
        machine: As measured on the device to be used.
        names: Of the cases, all if empty.
        rounds: Turns, at least one; the median over them is given.
        progress: Called with each case's name before it is timed.

    Raises:
        ValueError: An unknown case, or no rounds.
    """
    known = CASES[machine.device]
    chosen = chosen_names(known, names, rounds)
    torch.set_num_threads(machine.threads)
    for name in chosen:
        progress(name)
        yield from _rows(name, known[name](machine), machine, rounds)


def _rows(name: str, case: Case, machine: Machine, rounds: int) -> Iterator[Row]:
    present: list[Contender] = []
    absent: list[Row] = []
    for peer, make in case.contenders.items():
        try:
            present.append(make())
        except Unavailable as reason:
            absent.append(Row(name, case.title, peer, remark=str(reason)))
    limit = 1e3 * case.limit(machine) / case.batch
    times = _in_turns(present, machine.threads, rounds)
    for contender, (forward, adjoint) in zip(present, times, strict=True):
        yield Row(
            name,
            case.title,
            contender.name,
            1e3 * forward / case.batch,
            1e3 * adjoint / case.batch,
            limit,
            dot_error(contender),
        )
    yield from absent


def _in_turns(
    contenders: Sequence[Contender], threads: int, rounds: int
) -> list[tuple[float, float]]:
    timers = [
        [
            Timer("f(v)", globals={"f": function, "v": v}, num_threads=threads)
            for function, v in ((c.forward, c.x), (c.adjoint, c.y))
        ]
        for c in contenders
    ]
    times: list[list[list[float]]] = [[[], []] for _ in contenders]
    for turn in range(rounds + 1):
        for pair, found in zip(timers, times, strict=True):
            for timer, seconds in zip(pair, found, strict=True):
                value = timer.timeit(1).mean
                if turn > 0:  # the first turn warms up
                    seconds.append(value)
    return [(median(forward), median(adjoint)) for forward, adjoint in times]
