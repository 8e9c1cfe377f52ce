"""Studies of the methods themselves, each a kind of experiment."""

from __future__ import annotations

from invdiff.study.laboratory.smc_images import SMCImages
from invdiff.study.scripted import ScriptedStudy

__all__ = ["STUDIES"]

STUDIES: dict[str, type[ScriptedStudy]] = {"smc-images": SMCImages}
