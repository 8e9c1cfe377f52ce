"""From YAML and overrides to an experiment; what is wrong is said in one line, with its path."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from invdiff.study.base import Config
from invdiff.study.config import Experiment

__all__ = ["list_experiments", "load_experiment", "parse_experiment", "read_experiment"]


def list_experiments() -> list[str]:
    """Names of the experiments that ship with the package."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_experiment(name_or_path: str, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment, shipped (by name) or from a YAML file.

    Args:
        name_or_path: Such as ``"ct_sparse_view"`` or ``"mine.yaml"``.
        overrides: Such as ``"sampler.num_steps=50"``; values are read as YAML.

    Raises:
        ValueError: One line: no such file, not YAML, or what ``parse_experiment`` finds.
    """
    values = read_experiment(name_or_path)
    return parse_experiment(values, overrides)


def read_experiment(name_or_path: str) -> dict[str, Any]:
    """Return the values of a YAML file, unchecked."""
    shipped = name_or_path in list_experiments()
    path = _folder() / f"{name_or_path}.yaml" if shipped else Path(name_or_path)
    if not path.is_file():
        known = ", ".join(list_experiments())
        raise ValueError(f"{name_or_path}: no such file, and none of the experiments {known}")
    values = _yaml(path.read_text(), str(path))
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected keys and values")
    return {"name": path.stem, **values}


def parse_experiment(values: dict[str, Any], overrides: Sequence[str] = ()) -> Experiment:
    """Check values, after the overrides.

    Raises:
        ValueError: One line that names every wrong key or value with its path.
    """
    for override in overrides:
        values = _overridden(values, override)
    try:
        return Experiment.model_validate(values)
    except ValidationError as error:
        lines = [_line(part) for part in error.errors(include_url=False)]
        raise ValueError("; ".join(lines)) from None


def _overridden(values: dict[str, Any], override: str) -> dict[str, Any]:
    path, separator, text = override.partition("=")
    keys = path.split(".")
    if not separator or not all(keys):
        raise ValueError(f"--set {override}: expected key=value, such as sampler.num_steps=50")
    return _with(values, keys, _yaml(text, f"--set {path}"))


def _with(values: Any, keys: Sequence[str], value: Any) -> dict[str, Any]:
    below = dict(values) if isinstance(values, dict) else {}
    # another kind has other keys: what the file says of the old one doesn't apply
    if keys[0] == "kind" and below.get("kind") not in (None, value):
        below = {}
    below[keys[0]] = value if len(keys) == 1 else _with(below.get(keys[0]), keys[1:], value)
    return below


def _yaml(text: str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: not YAML ({' '.join(str(error).split())})") from None


def _line(error: Any) -> str:
    # pydantic puts the kind that it chose into the path
    place = [str(part) for part in error["loc"] if part not in _kinds()]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place[-1], _names(), n=1)
        message = "unknown key" + (f", did you mean {near[0]}?" if near else "")
    elif error["type"] == "missing":
        message = "missing"
    elif error["type"] == "union_tag_not_found":
        message = "expected a kind"
    elif error["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, got {error['input']!r}"
    return f"{'.'.join(place)}: {message}" if place else message


def _models(base: type[Config] = Config) -> Iterator[type[Config]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _names() -> list[str]:
    return sorted({name for model in _models() for name in model.model_fields})


def _kinds() -> set[str]:
    fields = (model.model_fields.get("kind") for model in _models())
    return {str(field.default) for field in fields if field is not None}


def _folder() -> Path:
    return Path(str(files("invdiff.study"))) / "experiments"
