"""A finished run, read back from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from invdiff.study.config import Experiment
from invdiff.study.load import parse_experiment
from invdiff.study.stored import Stored
from invdiff.study.units import Units

__all__ = ["Result", "read_result"]


@dataclass(frozen=True, eq=False)
class Result:
    """All that the report shows.

    Args:
        experiment: The resolved configuration.
        metrics: Name to number.
        provenance: How the numbers came about.
        arrays: Those of ``reconstruction.npz``.
    """

    experiment: Experiment
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @property
    def units(self) -> Units:
        """What the image values mean."""
        stored = self.provenance["units"]
        return Units(**{**stored, "window": tuple(stored["window"])})

    @property
    def aspect(self) -> float:
        """Height of a pixel over its width."""
        pixel_mm = self.provenance["pixel_mm"]
        return pixel_mm[0] / pixel_mm[1] if pixel_mm else 1.0

    @property
    def images(self) -> dict[str, NDArray[Any]]:
        """Baselines by name, and the main result, named "", at the end."""
        names: tuple[str, ...] = self.experiment.baselines
        baselines = {name: self.arrays[f"baseline_{name}"] for name in names}
        return {**baselines, "": self.arrays["reconstruction"]}

    def metric(self, metric: str, name: str) -> float | None:
        """Return a metric of a baseline, or of the main result, named ""."""
        return self.metrics.get(f"{metric}_{name}" if name else metric)


def read_result(folder: Path) -> Result:
    """Read what ``run_experiment`` wrote.

    Raises:
        ValueError: A file is missing or not readable; later, a metric or an array that is asked for
            isn't there.
    """
    try:
        values = yaml.safe_load((folder / "config.yaml").read_text())
        metrics, provenance = (
            json.loads((folder / f"{name}.json").read_text()) for name in ("metrics", "provenance")
        )
        with np.load(folder / "reconstruction.npz", allow_pickle=False) as stored:
            arrays = Stored(stored, folder, "array")
    # the folder may be anything
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{folder}: not the folder of a finished run ({reason})") from error
    experiment = parse_experiment(values)
    return Result(experiment, Stored(metrics, folder, "metric"), provenance, arrays)
