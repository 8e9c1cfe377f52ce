"""From YAML and overrides to an experiment; what is wrong is said in one line, with its path."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import ValidationError

from invdiff.study.base import Config
from invdiff.study.config import Experiment
from invdiff.study.laboratory import STUDIES
from invdiff.study.own_paths import check_own_paths
from invdiff.study.scripted import ScriptedStudy
from invdiff.suggestion import did_you_mean

__all__ = [
    "is_scripted",
    "list_experiments",
    "load_experiment",
    "load_study",
    "parse_experiment",
    "parse_study",
    "parse_values",
    "read_experiment",
]

_Model = TypeVar("_Model", bound=Config)

# errors whose message needs no value beside it
_SELF_EXPLANATORY = {
    "extra_forbidden",
    "missing",
    "union_tag_invalid",
    "union_tag_not_found",
    "value_error",
}


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
    return parse_experiment(read_experiment(name_or_path), overrides)


def load_study(name_or_path: str, overrides: Sequence[str] = ()) -> Experiment | ScriptedStudy:
    """Read an experiment or a scripted study; see ``load_experiment``."""
    return parse_study(read_experiment(name_or_path), overrides)


def is_scripted(folder: Path) -> bool:
    """Whether a folder of results is that of a scripted study."""
    path = folder / "config.yaml"
    values = _yaml(path.read_text(), str(path)) if path.is_file() else None
    return isinstance(values, dict) and "kind" in values


def read_experiment(name_or_path: str) -> dict[str, Any]:
    """Return the values of a YAML file, unchecked."""
    shipped = name_or_path in list_experiments()
    path = _folder() / f"{name_or_path}.yaml" if shipped else Path(name_or_path)
    if not path.is_file():
        known = list_experiments()
        near = did_you_mean(name_or_path, known)
        what = (
            f"no such file or experiment{near}"
            if near
            else (f"no such file, and none of the experiments {', '.join(known)}")
        )
        raise ValueError(f"{name_or_path}: {what}")
    values = _yaml(path.read_text(), str(path))
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected keys and values")
    return {"name": path.stem, **values}


def parse_experiment(values: dict[str, Any], overrides: Sequence[str] = ()) -> Experiment:
    """Check values, after the overrides.

    Raises:
        ValueError: One line that names every wrong key or value with its path.
    """
    return parse_values(Experiment, values, overrides)


def parse_study(
    values: dict[str, Any], overrides: Sequence[str] = ()
) -> Experiment | ScriptedStudy:
    """Check values of an experiment, or of the scripted study that the key ``kind`` names.

    Raises:
        ValueError: As for ``parse_experiment``, or an unknown kind.
    """
    if "kind" not in values:
        return parse_experiment(values, overrides)
    if values["kind"] == "sweep":
        raise ValueError("kind: a sweep of many experiments, which invdiff sweep runs")
    if values["kind"] not in STUDIES:
        kind = values["kind"]
        near = did_you_mean(str(kind), STUDIES)
        raise ValueError(f"kind: expected one of {', '.join(STUDIES)}, got {kind!r}{near}")
    return parse_values(STUDIES[values["kind"]], values, overrides)


def parse_values(
    model: type[_Model], values: dict[str, Any], overrides: Sequence[str] = ()
) -> _Model:
    """Check values of any configuration, after the overrides; see ``parse_experiment``."""
    for override in overrides:
        values = _overridden(values, override)
    # after all of them: one may change the fallback
    for override in overrides:
        check_own_paths(values, override.partition("=")[0].split("."))
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError(_complaint(error, model)) from None


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


def _complaint(error: ValidationError, model: type[Config]) -> str:
    """Join what is wrong; a value that may be of several types has a message for each."""
    messages: dict[str, list[str]] = {}
    inputs: dict[str, str] = {}
    for part in error.errors(include_url=False):
        place, message = _place(part, model), _message(part, model)
        messages.setdefault(place, []).append(message)
        if part["type"] not in _SELF_EXPLANATORY:
            inputs[place] = f", got {part['input']!r}"
    return "; ".join(
        f"{place + ': ' if place else ''}{' or '.join(dict.fromkeys(found))}{inputs.get(place, '')}"
        for place, found in messages.items()
    )


def _place(part: Any, model: type[Config]) -> str:
    loc, unknown = part["loc"], part["type"] == "extra_forbidden"
    place, _ = _walk(loc[:-1] if unknown else loc, model)
    if unknown:
        place.append(str(loc[-1]))
    elif part["type"].startswith("union_tag"):
        place.append("kind")
    return ".".join(place)


def _message(part: Any, model: type[Config]) -> str:
    if part["type"] == "extra_forbidden":
        *above, last = part["loc"]
        return f"unknown key{did_you_mean(str(last), _fields(_walk(above, model)[1]))}"
    if part["type"] in ("missing", "union_tag_not_found"):
        return "missing"
    if part["type"] == "union_tag_invalid":
        tags, tag = part["ctx"]["expected_tags"], part["ctx"]["tag"]
        near = did_you_mean(str(tag), tags.strip("'").split("', '"))
        return f"expected one of {tags}, got {tag!r}{near}"
    text = str(part["msg"]).removeprefix("Value error, ")
    return text.replace("Input should", "should", 1)


def _walk(loc: Iterable[int | str], model: type[Config]) -> tuple[list[str], list[Any]]:
    """Return the keys of a location without the kinds and types that pydantic puts between them.

    Also the models that may stand there.
    """
    models: list[Any] = [model]
    place: list[str] = []
    is_key = False
    for name in map(str, loc):
        if is_key:
            place.append(name)
            is_key = False
        elif name in _fields(models):
            place.append(name)
            is_key = _is_mapping(models, name)
            models = _below(models, name)
        elif any(name == _kind(model) for model in models):
            models = [model for model in models if name == _kind(model)]
    return place, models


def _kind(model: Any) -> Any:
    field = model.model_fields.get("kind")
    return field.default if field else None


def _fields(models: Sequence[Any]) -> set[str]:
    return {name for model in models for name in model.model_fields}


def _below(models: Sequence[Any], name: str) -> list[Any]:
    """Models that the value of a field may be."""
    fields = (model.model_fields.get(name) for model in models)
    return [model for field in fields if field for model in _models_in(field.annotation)]


def _is_mapping(models: Sequence[Any], name: str) -> bool:
    """Whether the value of a field has keys of its own choice."""
    fields = (model.model_fields.get(name) for model in models)
    return any(get_origin(field.annotation) is dict for field in fields if field)


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _folder() -> Path:
    return Path(str(files("invdiff.study"))) / "experiments"
