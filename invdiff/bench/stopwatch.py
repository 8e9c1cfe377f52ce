"""How much of a run is the network: a denoiser that measures itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invdiff.priors import Denoiser

__all__ = ["TimedDenoiser"]


class TimedDenoiser:
    """A denoiser that adds up its own time, backward passes included.

    On a GPU the time is that between events in the stream; nothing waits for them before
    ``seconds`` is asked for, so that what a sampler does meanwhile on the host stays hidden.

    Args:
        denoiser: To be measured.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.data_range, self.image_shape = denoiser.data_range, denoiser.image_shape
        self._spans: list[tuple[Any, Any]] = []
        self._started: list[Any] = []

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the denoised x; both directions through the network are timed."""
        if not x.requires_grad:
            start = _mark(x)
            mean = self.denoiser(x, sigma)
            self._spans.append((start, _mark(x)))
            return mean
        inside = x.view_as(x)
        inside.register_hook(self._end)  # type: ignore[no-untyped-call]
        start = _mark(x)
        mean = self.denoiser(inside, sigma)
        self._spans.append((start, _mark(x)))
        outside = mean.view_as(mean)
        mean.register_hook(self._begin)  # type: ignore[no-untyped-call]
        return outside

    def seconds(self) -> float:
        """Return the time so far, and start again from zero."""
        total = sum(_between(start, end) for start, end in self._spans)
        self._spans, self._started = [], []
        return total

    def _begin(self, gradient: Tensor) -> None:
        self._started.append(_mark(gradient))

    def _end(self, gradient: Tensor) -> None:
        self._spans.append((self._started.pop(), _mark(gradient)))


def _mark(like: Tensor) -> Any:
    if like.device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(like.device))
    return event


def _between(start: Any, end: Any) -> float:
    if isinstance(start, float):
        return float(end - start)
    end.synchronize()
    elapsed: Callable[[Any], float] = start.elapsed_time
    return elapsed(end) / 1e3
