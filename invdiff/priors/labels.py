"""Which of its classes a network is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

__all__ = ["Condition", "class_names", "condition_of"]


@dataclass(frozen=True)
class Condition:
    r"""What the network is told, and how much of it.

    .. math:: D = \sum_k w_k\, D_k

    Args:
        terms: Label and weight of each term; a label stands for "none" where the network knows it.
    """

    terms: tuple[tuple[int, float], ...]


def class_names(rows: int | None, info: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the classes, "0", "1", ... where ``info`` says none.

    Args:
        rows: Labels that the network is told; None for one without classes.
        info: Of the prior; ``classes`` has a name for each, all but perhaps the last, "none".

    Raises:
        ValueError: Another number of names, or one twice.
    """
    names = info.get("classes")
    if names is None or (rows is None and not names):
        return tuple(str(index) for index in range(rows or 0))
    if not isinstance(names, list | tuple) or len({str(name) for name in names}) < len(names):
        raise ValueError(f"prior: expected classes of different names, got {names}")
    if len(names) not in (rows, (rows or 0) - 1):
        raise ValueError(f"prior: {len(names)} classes for a network of {rows or 'no'} labels")
    return tuple(str(name) for name in names)


def condition_of(
    network: nn.Module, info: Mapping[str, Any], label: str | int | None, guidance: float
) -> Condition | None:
    """Return what to tell a network, None for one without classes.

    Args:
        network: Its ``config`` has the number of labels.
        info: See ``class_names``; ``class_dropout`` is true where it was trained without its
            label part of the time, and has no label of its own for that.
        label: Name or index of the class.
        guidance: w of ``PretrainedPrior``.

    Raises:
        ValueError: A label that is missing or unknown, or guidance of a network that doesn't know
            images without one.
    """
    config: Any = network.config
    rows = getattr(config, "num_class_embeds", None) or getattr(config, "num_classes", None)
    if not math.isfinite(guidance):
        raise ValueError(f"guidance: expected a finite number, got {guidance}")
    names = class_names(rows, info)
    if rows is None:
        if label is not None or guidance != 1:
            raise ValueError(
                f"label: this prior has no classes, got {label} of guidance {guidance}"
            )
        return None
    if label is None:
        raise ValueError(f"label: this prior needs one of its classes {_listed(names)}")
    index = _index(names, label)
    if guidance == 1:
        return Condition(((index, 1.0),))
    none = len(names)
    zeros = bool(info.get("class_dropout")) and getattr(network, "accepts_no_label", False)
    if rows == none and not zeros:
        raise ValueError(
            f"guidance: expected 1 for a prior that knows no null class, got {guidance}"
        )
    if guidance == 0:
        return Condition(((none, 1.0),))
    return Condition(((none, 1 - guidance), (index, guidance)))


def _index(names: tuple[str, ...], label: str | int) -> int:
    if isinstance(label, str) and label in names:
        return names.index(label)
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names):
        return label
    raise ValueError(f"label: expected one of {_listed(names)}, got {label!r}")


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown}, ... ({len(names)} in all)"
