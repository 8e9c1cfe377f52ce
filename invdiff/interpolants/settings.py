"""Interpolants as nested dictionaries of plain values, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from invdiff.interpolants import ddbm, gammas, paths
from invdiff.interpolants import interpolant as kinds
from invdiff.interpolants.interpolant import Interpolant

__all__ = ["interpolant_from_settings", "interpolant_settings"]

# all dataclasses that these modules name
_KINDS: dict[str, type[Any]] = {
    name: getattr(module, name)
    for module in (kinds, ddbm, gammas, paths)
    for name in module.__all__
    if dataclasses.is_dataclass(getattr(module, name))
}
# what each field of an interpolant has to be
_BASES: dict[str, type[Any]] = {
    "path": paths.Path,
    "gamma": gammas.Gamma,
    "diffusion": ddbm.Diffusion,
}


def interpolant_settings(interpolant: Interpolant) -> dict[str, Any]:
    """Return ``{"kind": ..., ...}``, with numbers and further dictionaries.

    Raises:
        ValueError: An interpolant, or a part of one, that is not of this package.
    """
    return _described(interpolant)


def interpolant_from_settings(settings: Mapping[str, Any]) -> Interpolant:
    """Return the interpolant of its settings.

    Raises:
        ValueError: An unknown kind, or settings that are missing, unknown or out of range.
    """
    built = _built(settings)
    if not isinstance(built, Interpolant):
        raise ValueError(f"interpolant: expected an interpolant, got {settings['kind']}")
    return built


def _described(part: Any) -> dict[str, Any]:
    kind: str = type(part).__name__
    if _KINDS.get(kind) is not type(part):
        raise ValueError(f"interpolant: expected one of {', '.join(_KINDS)}, got {kind}")
    values = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    return {"kind": kind} | {
        name: _described(value) if name in _BASES else value for name, value in values.items()
    }


def _built(settings: Any) -> Any:
    kind = settings.get("kind") if isinstance(settings, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"interpolant: unknown kind {kind!r}, expected {', '.join(_KINDS)}")
    part: Any = _KINDS[kind]
    names = {f.name for f in dataclasses.fields(part)}
    given = {name: value for name, value in settings.items() if name != "kind"}
    if given.keys() != names:
        raise ValueError(f"{kind}: expected {sorted(names)}, got {sorted(given)}")
    return part(**{name: _value(kind, name, value) for name, value in given.items()})


def _value(kind: str, name: str, value: Any) -> Any:
    if name in _BASES:
        part = _built(value)
        if not isinstance(part, _BASES[name]):
            raise ValueError(f"{kind}: expected a {name}, got {type(part).__name__}")
        return part
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ValueError(f"{kind}: expected a number as {name}, got {value!r}")
    return float(value)
