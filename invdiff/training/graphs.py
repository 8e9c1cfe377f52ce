"""A network whose kernels are launched together: small networks wait for launches on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["GraphedNetwork"]


class GraphedNetwork(nn.Module):
    """A network replayed as a CUDA graph, forward and backward; it shares the weights.

    Args:
        network: A ``UNet2DModel`` in training mode, on a GPU.
        x: An example of its images; every call has this shape.
        time: An example of its times.
        dtype: Precision of its arithmetic.
    """

    def __init__(self, network: nn.Module, x: Tensor, time: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        # cached casts of the weights would be captured once and never renewed
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32, cache_enabled=False):
            call: Any = torch.cuda.make_graphed_callables(_Positional(network), (x, time))
        object.__setattr__(self, "_call", call)

    def forward(self, x: Tensor, time: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """Return the output as the only entry, as diffusers does without ``return_dict``."""
        call: Any = object.__getattribute__(self, "_call")
        return (call(x, time),)


class _Positional(nn.Module):
    """Graphs take positional tensors only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        output: Tensor = self.network(x, time, return_dict=False)[0]
        return output
