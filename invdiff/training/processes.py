"""The processes that train one network together, by accelerate."""

from __future__ import annotations

import functools
import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

__all__ = ["Processes"]

# reading the scans of a whole hospital takes the first process longer than the others
_TIMEOUT = timedelta(hours=6)


class Processes:
    """This process alone, or with others that a launcher started; see ``launched``.

    Args:
        accelerator: Of ``accelerate``; None for one process without it.

    Attributes:
        rank: Number of this process.
        count: Of all processes.
    """

    def __init__(self, accelerator: Any = None) -> None:
        self._accelerator = accelerator
        self.rank = 0 if accelerator is None else int(accelerator.process_index)
        self.count = 1 if accelerator is None else int(accelerator.num_processes)

    @classmethod
    def launched(cls, device: torch.device | str) -> Processes:
        """Return the processes that ``accelerate launch`` or ``torchrun`` started, joined.

        Args:
            device: ``cpu`` trains on CPUs also where there are GPUs.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls()
        return cls(_accelerator(torch.device(device).type == "cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes what all of them made."""
        return self.rank == 0

    def device(self, wanted: torch.device | str) -> torch.device:
        """Return the device of this process, where one of its kind is wanted."""
        return torch.device(wanted) if self._accelerator is None else self._accelerator.device

    def share(self, count: int) -> range:
        """Return which of so many equal parts are of this process.

        Raises:
            ValueError: They cannot be shared equally.
        """
        if count % self.count:
            raise ValueError(f"{count} parts of a batch cannot be shared by {self.count} processes")
        return range(self.rank, count, self.count)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients that are means over the processes."""
        if self._accelerator is None:
            return network
        wrapped: nn.Module = self._accelerator.prepare(network)
        return wrapped

    def synchronised(self, network: nn.Module, synchronised: bool) -> AbstractContextManager[Any]:
        """Exchange gradients in the context, or put that off to a later part of the batch."""
        if synchronised or not isinstance(network, DistributedDataParallel):
            return nullcontext()
        context: AbstractContextManager[Any] = network.no_sync()
        return context

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a number over the processes."""
        if self._accelerator is None:
            return value
        mean: Tensor = self._accelerator.reduce(value, reduction="mean")
        return mean

    def told(self, message: str) -> str:
        """Return what the main process says here; all have to call it."""
        if self._accelerator is None:
            return message
        from accelerate.utils import broadcast_object_list

        messages: list[str] = broadcast_object_list([message])
        return messages[0]


@functools.cache
def _accelerator(cpu: bool) -> Any:
    """Join the others, once."""
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    return Accelerator(cpu=cpu, kwargs_handlers=[InitProcessGroupKwargs(timeout=_TIMEOUT)])
