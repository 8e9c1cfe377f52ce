"""The state of an optimizer, from tensors by name."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["optimizer_state"]


def optimizer_state(
    tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> dict[int, dict[str, Tensor]]:
    """Return the state by the numbers of the parameters, laid out in memory as they are.

    Args:
        tensors: By number and entry, such as ``"0.exp_avg"``.
        optimizer: Whose parameters they are about.

    Raises:
        ValueError: A parameter that isn't there, another shape, or an entry that only some have.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, entry = name.partition(".")
        if not number.isdecimal() or int(number) >= len(parameters):
            raise ValueError(f"optimizer: unknown state {name}")
        parameter = parameters[int(number)]
        if value.ndim and value.shape != parameter.shape:
            raise ValueError(
                f"optimizer: expected {name} of shape {tuple(parameter.shape)}, "
                f"got {tuple(value.shape)}"
            )
        laid_out = torch.empty_like(parameter.detach()).copy_(value) if value.ndim else value
        state.setdefault(int(number), {})[entry] = laid_out
    if len({frozenset(entries) for entries in state.values()}) > 1:
        raise ValueError("optimizer: a part of the state is missing")
    return state
