"""Time samplers in turns, and say what they cost beyond the network."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from invdiff.bench.case import chosen_names
from invdiff.bench.contender import Unavailable
from invdiff.bench.machine import Machine
from invdiff.bench.sampler_cases import SAMPLER_CASES, SamplerCase
from invdiff.bench.sampler_contenders import CONTENDERS, Run, SetUp
from invdiff.bench.stopwatch import TimedDenoiser
from invdiff.priors import load_prior

__all__ = ["SamplerRow", "bench_samplers"]

_PRIOR = "ct-256"


@dataclass(frozen=True)
class SamplerRow:
    """What was measured of one sampler; None if it was absent.

    Args:
        case: Name of the case.
        title: What is measured, in words.
        contender: Package and sampler.
        step_ms: Median time of a step of the whole batch.
        network_ms: Median time of the network in it, backward passes included.
        overhead: Median of the ratio of the two in one run.
        empty_ms: Median time of a step whose network costs nothing.
        remark: Why it was absent.
    """

    case: str
    title: str
    contender: str
    step_ms: float | None = None
    network_ms: float | None = None
    overhead: float | None = None
    empty_ms: float | None = None
    remark: str = ""


class _Nothing:
    """A denoiser that costs nothing: it halves the distance to zero."""

    data_range = (-1.0, 1.0)
    image_shape = None

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x / 2


def bench_samplers(
    machine: Machine,
    names: Sequence[str] = (),
    *,
    rounds: int = 5,
    num_steps: int = 10,
    progress: Callable[[str], None] = lambda name: None,
) -> Iterator[SamplerRow]:
    """Yield the rows of the cases, ours first; every sampler makes whole runs.

    Args:
        machine: As measured on the device to be used.
        names: Of the cases, all if empty.
        rounds: Turns, at least one; the median over them is given.
        num_steps: Steps of a run.
        progress: Called with each case's name before it is timed.

    Raises:
        ValueError: An unknown case, or no rounds.
    """
    known = SAMPLER_CASES[machine.device]
    chosen = chosen_names(known, names, rounds)
    torch.set_num_threads(machine.threads)
    for name in chosen:
        progress(name)
        yield from _rows(name, known[name](machine.device), machine.device, rounds, num_steps)


def _rows(
    name: str, case: SamplerCase, device: str, rounds: int, num_steps: int
) -> Iterator[SamplerRow]:
    denoiser = TimedDenoiser(load_prior(_PRIOR, device=device, size=(case.size, case.size)))
    present: dict[str, tuple[Run, Run]] = {}
    absent: list[SamplerRow] = []
    for contender, set_up in CONTENDERS.items():
        try:
            present[contender] = _both(set_up, case, denoiser, num_steps)
        except Unavailable as reason:
            absent.append(SamplerRow(name, case.title, contender, remark=str(reason)))
    totals: dict[str, list[tuple[float, float, float]]] = {c: [] for c in present}
    for turn in range(rounds + 1):
        for contender, (run, empty) in present.items():
            denoiser.seconds()
            times = (_seconds(run, device), denoiser.seconds(), _seconds(empty, device))
            if turn > 0:  # the first turn warms up
                totals[contender].append(times)
    for contender, found in totals.items():
        step, network, nothing = (1e3 * median(t) / num_steps for t in zip(*found, strict=True))
        ratio = median(total / inside for total, inside, _ in found)
        yield SamplerRow(name, case.title, contender, step, network, ratio, nothing)
    yield from absent


def _both(
    set_up: SetUp, case: SamplerCase, denoiser: TimedDenoiser, num_steps: int
) -> tuple[Run, Run]:
    return set_up(case, denoiser, num_steps), set_up(case, _Nothing(), num_steps)


def _seconds(run: Run, device: str) -> float:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what runs too few steps to converge
        run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
