"""Batches of training graphs, and the random numbers of each step."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.graphs.state import GraphState, from_pairs, masked
from invdiff.rng import derive_generator, draw_seeds

__all__ = ["GraphBatches", "batch_noise"]


class GraphBatches:
    """Training graphs in an order of its own for each epoch, none of them twice.

    What a step draws depends on the first state of the generator and on the number of the step
    alone, so that a training can go on from any step. The last batch of an epoch may be smaller.

    Args:
        graphs: Leading shape ``(count,)``, on the device of the generator. Integers, such as bytes
            that take a quarter of the memory, become float32 in a batch.
        batch_size: Graphs of a step.
        generator: Read once; the only source of randomness.

    Raises:
        ValueError: No graphs, another leading shape or device, or a batch below 1.
    """

    def __init__(self, graphs: GraphState, batch_size: int, *, generator: torch.Generator) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        if graphs.mask.ndim != 2 or not len(graphs.mask):
            raise ValueError(
                f"graphs: expected a mask (count >= 1, N), got {tuple(graphs.mask.shape)}"
            )
        if graphs.mask.device != generator.device:
            raise ValueError(
                f"graphs: on {graphs.mask.device}, but the generator is on {generator.device}"
            )
        self.graphs, self.batch_size = graphs, batch_size
        self._device = generator.device
        (self._seed,) = draw_seeds(generator, 1)

    @property
    def steps_per_epoch(self) -> int:
        """Return how many steps see every graph once."""
        return -(-len(self.graphs.mask) // self.batch_size)

    def generator(self, step: int) -> torch.Generator:
        """Return the stream of a step, in its first state."""
        return derive_generator(self._seed, "step", step, device=self._device)

    def batch(self, step: int) -> GraphState:
        """Return the graphs of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        stream = derive_generator(self._seed, "epoch", epoch, device=self._device)
        order = torch.randperm(len(self.graphs.mask), generator=stream, device=self._device)
        chosen = order[place * self.batch_size : (place + 1) * self.batch_size]
        nodes, adjacency, mask = (part[chosen] for part in self.graphs)
        return GraphState(_floating(nodes), _floating(adjacency), mask)


def batch_noise(like: GraphState, *, generator: torch.Generator) -> GraphState:
    """Draw standard normals in the shape of a state, from one stream for all of its graphs.

    Args:
        like: Gives shapes, dtype and mask.
        generator: On the device of the state.
    """
    num_nodes, dtype, device = like.mask.shape[-1], like.nodes.dtype, like.nodes.device
    pairs = (*like.mask.shape[:-1], num_nodes * (num_nodes - 1) // 2)
    x = torch.randn(like.nodes.shape, generator=generator, dtype=dtype, device=device)
    a = torch.randn(pairs, generator=generator, dtype=dtype, device=device)
    return masked(GraphState(x, from_pairs(a, num_nodes), like.mask))


def _floating(values: Tensor) -> Tensor:
    return values if values.is_floating_point() else values.float()
