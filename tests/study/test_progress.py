"""The progress bar of a run, and of one that goes on in the middle."""

import torch

from invdiff.samplers.base import Progress
from invdiff.study.progress import Trace


def _step(number):
    return Progress(number, 6, torch.tensor(1.0), torch.tensor([1.0, 2.0]), torch.zeros(2, 4, 4))


def test_counts_the_steps_and_keeps_the_misfits() -> None:
    trace = Trace("title", 6)
    for number in range(3):
        trace(_step(number))
    assert trace.misfits == [1.5, 1.5, 1.5]
    assert (trace._bar.n, trace._bar.initial, trace._bar.total) == (3, 0, 6)
    trace.close()


def test_steps_before_a_checkpoint_are_done_but_say_nothing_of_the_speed() -> None:
    trace = Trace("title", 6)
    trace(_step(4))
    assert (trace._bar.n, trace._bar.initial) == (5, 4)
    trace(_step(5))
    assert trace._bar.n == 6
    trace.close()
