"""Whether a prior was trained on images such as those that are reconstructed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from invdiff.study.config import Experiment
from invdiff.study.problem import Problem

__all__ = ["caution", "modality_of"]


def modality_of(experiment: Experiment, problem: Problem) -> str:
    """Return "CT" or "MR" for the images of a problem, "other" where nothing says it."""
    if problem.units.name == "HU":
        return "CT"
    if experiment.operator.kind == "mri-cartesian":
        return "MR"
    return "other" if problem.original is None else problem.original.modality


def caution(name: str, info: Mapping[str, Any], modality: str) -> str:
    """Return a sentence about a prior of another modality; empty if there is nothing to say.

    Args:
        name: Of the prior.
        info: What its folder says about it.
        modality: Of the images, see ``modality_of``.
    """
    trained = info.get("modality")
    if {trained, modality} != {"CT", "MR"}:
        return ""
    return f"The prior {name} was trained on {trained}, and the image is {modality}"
