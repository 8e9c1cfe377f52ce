"""Studies of the methods themselves, each a kind of experiment."""

from __future__ import annotations

from invdiff.study.laboratory.ct_uncertainty import CTUncertainty
from invdiff.study.laboratory.gaussian_calibration import GaussianCalibration
from invdiff.study.scripted import ScriptedStudy

__all__ = ["STUDIES"]

STUDIES: dict[str, type[ScriptedStudy]] = {
    "ct-uncertainty": CTUncertainty,
    "gaussian-calibration": GaussianCalibration,
}
