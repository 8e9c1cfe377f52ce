"""Untrained networks whose weights come from a generator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from invdiff.rng import draw_seeds

__all__ = ["drawn_network", "seeded_weights"]

Network = TypeVar("Network", bound=nn.Module)


@contextmanager
def seeded_weights(seed: int) -> Iterator[None]:
    """Let networks that are built inside draw their weights from a seed.

    torch and diffusers take no generator for them, only torch's default one, which is left as
    it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def drawn_network(build: Callable[[], Network], *, generator: torch.Generator) -> Network:
    """Return an untrained network on the device of a generator that decides its weights.

    Args:
        build: Makes the network, such as ``lambda: FieldMLP(2)``.
        generator: The only source of randomness.
    """
    (seed,) = draw_seeds(generator, 1)
    with seeded_weights(seed):
        network = build()
    return network.to(generator.device)
