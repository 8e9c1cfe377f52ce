"""What can be named in a configuration, in one line each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from invdiff.data import list_samples
from invdiff.priors import list_priors
from invdiff.study.baselines import TITLES
from invdiff.study.forward import OperatorConfig
from invdiff.study.load import list_experiments, read_experiment
from invdiff.study.noise import NoiseConfig
from invdiff.study.sampling import SamplerConfig
from invdiff.study.volume_operators import VolumeOperatorConfig
from invdiff.study.volume_sampling import COUPLING_KINDS, VOLUME_KINDS
from invdiff.training.routed_folder import prior_info

__all__ = ["catalogue"]

_WIDTH = 18

_SAMPLES = {
    "brain-8coil": "Undersampled k-space of a head, 8 coils (BSD-3-Clause)",
    "head-t1": "Head MR, T1, axial (public domain)",
    "sts-044": "Thigh CT (CC BY 3.0)",
}


def catalogue() -> str:
    """Return the lists as text."""
    shipped = {name: read_experiment(name) for name in list_experiments()}
    sections = {
        "priors": {name: _prior_title(name) for name in list_priors()},
        "samplers": _kinds(SamplerConfig),
        "samplers of volumes": {kind: _line(m) for kind, m in VOLUME_KINDS.items()},
        "couplings of slices": {kind: _line(m) for kind, m in COUPLING_KINDS.items()},
        "operators": _kinds(OperatorConfig),
        "operators of volumes": _kinds(VolumeOperatorConfig),
        "noise": _kinds(NoiseConfig),
        "baselines": TITLES,
        "samples": {name: _SAMPLES.get(name, "") for name in list_samples()},
        "experiments": {n: v["title"] for n, v in shipped.items() if not _is_sweep(v)},
        "sweeps": {n: v["title"] for n, v in shipped.items() if _is_sweep(v)},
    }
    return "\n\n".join(_section(name, entries.items()) for name, entries in sections.items())


def _is_sweep(values: dict[str, Any]) -> bool:
    return values.get("kind") == "sweep"


def _kinds(union: Any) -> dict[str, str]:
    models = get_args(get_args(union)[0])
    return {model.model_fields["kind"].default: _line(model) for model in models}


def _line(model: Any) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _prior_title(name: str) -> str:
    # reading the network, too, would take seconds
    return str(prior_info(name).get("title", ""))


def _section(title: str, entries: Iterable[tuple[str, str]]) -> str:
    found = list(entries)
    # one column for most lists; longer names move that of theirs
    width = max(_WIDTH, *(len(name) + 2 for name, _ in found))
    return "\n".join([title, *(f"  {name:<{width}}{text}" for name, text in found)])
