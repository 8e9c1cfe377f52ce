"""What the settings of a saved prior of graphs may say; anything else is refused in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from invdiff.graphs.moments import GraphMoments
from invdiff.graphs.schedules import VE, VP, Schedule, SubVP

__all__ = ["check_sizes", "moments_of", "schedule_of", "schedule_settings"]

_SCHEDULES: dict[str, Any] = {part.__name__: part for part in (VP, SubVP, VE)}
# no float64 tells larger ones apart
_LARGEST = 2**53


def schedule_settings(schedule: Schedule) -> dict[str, Any]:
    """Return what ``schedule_of`` takes.

    Raises:
        ValueError: Another kind of schedule.
    """
    kind = type(schedule).__name__
    if _SCHEDULES.get(kind) is not type(schedule):
        raise ValueError(f"expected a schedule {', '.join(_SCHEDULES)}, got {kind}")
    return {"kind": kind} | vars(schedule)


def schedule_of(settings: Mapping[str, Any]) -> Schedule:
    """Return the schedule of a kind and its numbers."""
    others = dict(settings)
    kind = others.pop("kind")
    if kind not in _SCHEDULES:
        raise ValueError(f"expected a schedule {', '.join(_SCHEDULES)}, got {kind!r}")
    schedule: Schedule = _SCHEDULES[kind](**{k: _number(k, v) for k, v in others.items()})
    return schedule


def moments_of(settings: Mapping[str, Any]) -> GraphMoments:
    """Return the moments that ``dataclasses.asdict`` and JSON made of them."""
    return GraphMoments(
        {
            _integer("sizes", int(size)): _integer("sizes", count)
            for size, count in settings["sizes"].items()
        },
        _numbers("node_mean", settings["node_mean"]),
        _numbers("node_variance", settings["node_variance"]),
        _number("edge_mean", settings["edge_mean"]),
        _number("edge_variance", settings["edge_variance"]),
    )


def check_sizes(settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Raise ``ValueError`` for the size of a network that is too large for its weights.

    Such a network would fill the memory before its tensors could be compared.
    """
    # every layer has a tensor, and whatever else is counted has a number
    layers, numbers = len(weights), sum(value.numel() for value in weights.values())
    for name, value in settings.items():
        if name == "density":
            continue
        if name == "tell_size":
            if not isinstance(value, bool):
                raise ValueError(f"tell_size: expected true or false, got {_shown(value)}")
            continue
        most = layers if name.endswith(("depth", "num_linear")) else numbers
        if _integer(name, value) > most:
            raise ValueError(f"{name}: expected at most {most} for these weights, got {value:.3g}")


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise ValueError(f"{name}: expected a list of numbers, got {_shown(values)}")
    return tuple(_number(name, value) for value in values)


def _number(name: str, value: Any) -> float:
    # bool is an int too
    if type(value) not in (int, float) or not abs(value) < math.inf:
        raise ValueError(f"{name}: expected a finite number, got {_shown(value)}")
    return float(value)


def _integer(name: str, value: Any) -> int:
    if type(value) is not int or abs(value) >= _LARGEST:
        raise ValueError(f"{name}: expected an integer, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return repr(value)[:60]
