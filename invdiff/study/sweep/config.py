"""A sweep as values: what all cells share, and what differs between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator

from invdiff.study.base import Config
from invdiff.study.load import parse_values, read_experiment

__all__ = ["Axis", "Setting", "Sweep", "load_sweep", "read_sweep"]

# columns of the tables that are no axis
_COLUMNS = ("cell", "status", "wall_seconds", "error", "metric", "mean", "std", "count")


class Setting(Config):
    """A point of an axis that changes several keys at once.

    Args:
        name: How tables and folders call it.
        set: Dotted key of the experiment to its value.
    """

    name: str = Field(min_length=1)
    set: dict[str, Any] = Field(min_length=1)


class Axis(Config):
    """Values of one key, or named settings of several.

    Args:
        key: Dotted key of the experiment, such as "operator.views".
        values: What it takes.
        settings: Instead of both: points with a name; in YAML a plain list.
    """

    key: str | None = None
    values: tuple[Any, ...] = ()
    settings: tuple[Setting, ...] = ()

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        by_key = self.key is not None and bool(self.values)
        if by_key == bool(self.settings) or (self.key is None) == bool(self.values):
            raise ValueError("expected either a key with values, or a list of named settings")
        return self

    @property
    def points(self) -> tuple[Setting, ...]:
        """The axis as named settings."""
        if self.key is None:
            return self.settings
        return tuple(Setting(name=_text(v), set={self.key: v}) for v in self.values)

    @property
    def is_numeric(self) -> bool:
        """Whether the points are numbers, in a sense that lines may join."""
        numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in self.values]
        return bool(numbers) and all(numbers)


class Sweep(Config):
    """All cells of the product of some axes over one experiment.

    Args:
        kind: What tells the file from an experiment.
        name: Short name.
        title: Heading of the report.
        base: Values of the experiment that the cells share; in YAML also a name or a path.
        set: Dotted keys that differ from the base in all cells.
        axes: By name, in the order of the cells, the last one fastest.
        repeats: Names of the axes over which mean and spread are taken.
        metrics: Which numbers the tables show; all of the cells' if none is named.
        threads: Of each cell; the bits of a result may depend on it.
        gpus: Of each cell, for a cluster; a share such as 0.5 lets cells share one.
    """

    kind: Literal["sweep"] = "sweep"
    name: str = "sweep"
    title: str = ""
    base: dict[str, Any]
    set: dict[str, Any] = Field(default_factory=dict)
    axes: dict[str, Axis] = Field(min_length=1)
    repeats: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    threads: PositiveInt = 1
    gpus: NonNegativeFloat = 0.0

    @field_validator("axes", mode="before")
    @classmethod
    def _lists_are_settings(cls, axes: Any) -> Any:
        if not isinstance(axes, dict):
            return axes
        return {k: {"settings": v} if isinstance(v, list) else v for k, v in axes.items()}

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name in self.repeats:
            if name not in self.axes:
                raise ValueError(f"repeats: expected some of {', '.join(self.axes)}, got {name!r}")
        for name in self.axes:
            if not name or name in _COLUMNS:
                raise ValueError(f"axes: the tables have a column of their own called {name!r}")
        return self

    @property
    def compared(self) -> tuple[str, ...]:
        """Names of the axes that are no repeats."""
        return tuple(name for name in self.axes if name not in self.repeats)


def load_sweep(name_or_path: str, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep, shipped (by name) or from a YAML file; its base is read too.

    Args:
        name_or_path: Such as ``"sweep_ct"`` or ``"mine.yaml"``; a path of the base in it counts
            from the folder of that file.
        overrides: Changes of the base, such as ``"sampler.num_steps=5"``.

    Raises:
        ValueError: One line with the path of each wrong key or value.
    """
    values = read_experiment(name_or_path)
    if values.get("kind") != "sweep":
        raise ValueError(f"{name_or_path}: no sweep (kind: sweep); invdiff run runs an experiment")
    if isinstance(values.get("base"), str):
        beside = Path(name_or_path).parent / values["base"]
        values["base"] = read_experiment(str(beside) if beside.is_file() else values["base"])
    return _with_overrides(parse_values(Sweep, values), overrides)


def read_sweep(path: Path) -> Sweep:
    """Read a sweep that was written with all its values."""
    return parse_values(Sweep, yaml.safe_load(path.read_text()))


def _with_overrides(sweep: Sweep, overrides: Sequence[str]) -> Sweep:
    changed = dict(sweep.set)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise ValueError(f"--set {override}: expected key=value, such as sampler.num_steps=50")
        try:
            changed[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"--set {key}: not YAML ({' '.join(str(error).split())})") from None
    return sweep.model_copy(update={"set": changed})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else yaml.safe_dump(value).split("\n...")[0].strip()
