"""How a run finds out that torchrun has started it on several ranks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from invdiff.volumes.ranks import RankSplit
from invdiff.volumes.split import Split, Whole

__all__ = ["device_of_environment", "process_group", "split_of_environment"]

# a rank waits for the slowest network call of another, not for the whole run
TIMEOUT = timedelta(minutes=10)


def split_of_environment(total: int, *, timeout: timedelta = TIMEOUT) -> Split:
    """Return this rank's slices if torchrun has started several ranks, and all of them otherwise.

    Joins the process group on the first call; :func:`process_group` leaves it again.

    Args:
        total: Slices of the volume.
        timeout: How long a rank waits for another one before it fails.

    Raises:
        ValueError: More ranks than slices.
    """
    if _world_size() == 1:
        return Whole(total)
    _join(timeout)
    return RankSplit(total)


@contextmanager
def process_group(timeout: timedelta = TIMEOUT) -> Iterator[None]:
    """Be part of torchrun's process group, if there is one, as long as the context lasts.

    A rank that fails closes its connections on the way out, so that the others fail too instead
    of waiting for the timeout.
    """
    if _world_size() == 1:
        yield
        return
    _join(timeout)
    try:
        yield
    finally:
        dist.destroy_process_group()


def device_of_environment() -> torch.device:
    """Return this rank's GPU, that of number ``LOCAL_RANK``, or the CPU where there is none.

    Raises:
        ValueError: A machine has more ranks than GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    index, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= count:
        raise ValueError(f"local rank {index} needs a GPU of its own, and there are {count}")
    return torch.device("cuda", index)


def _world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _join(timeout: timedelta) -> None:
    if dist.is_initialized():
        return
    device = device_of_environment()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # the CPU's tensors go by gloo even where there are GPUs
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timeout)
