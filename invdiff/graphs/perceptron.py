"""Perceptrons with ELUs between their layers."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

__all__ = ["perceptron"]


def perceptron(num_in: int, width: int, num_out: int, *, num_layers: int) -> nn.Sequential:
    """Return ``num_layers`` linear maps of the last axis, with an ELU between them."""
    sizes = [num_in] + [width] * (num_layers - 1) + [num_out]
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ELU(inplace=True)]
    return nn.Sequential(*layers[:-1])
