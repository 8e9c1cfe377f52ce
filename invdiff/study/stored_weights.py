"""Weights of a network among the arrays of a stage."""

from __future__ import annotations

import torch
from torch import nn

from invdiff.study.scripted import Arrays

__all__ = ["restore_weights", "stored_weights"]

_PREFIX = "weights/"


def stored_weights(network: nn.Module) -> Arrays:
    """Return the weights and buffers of a network, their names behind a prefix."""
    return {f"{_PREFIX}{key}": value.cpu().numpy() for key, value in network.state_dict().items()}


def restore_weights(network: nn.Module, arrays: Arrays) -> None:
    """Give a network the weights that are among the arrays, and set it to evaluation.

    Args:
        network: Of the same architecture.
        arrays: With what ``stored_weights`` returned; others are left out.
    """
    network.load_state_dict(
        {
            name.removeprefix(_PREFIX): torch.from_numpy(value)
            for name, value in arrays.items()
            if name.startswith(_PREFIX)
        }
    )
    network.eval()
