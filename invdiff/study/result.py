"""What a run leaves in its folder: written once, read back by the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from invdiff.data import onto, write_dicom, write_nifti
from invdiff.study.config import Experiment
from invdiff.study.holdout import HeldOut
from invdiff.study.load import parse_experiment
from invdiff.study.problem import Problem
from invdiff.study.stored import Stored
from invdiff.study.units import Units

__all__ = ["Result", "read_result", "write_result"]


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


def write_result(
    folder: Path,
    experiment: Experiment,
    problem: Problem,
    images: Mapping[str, Tensor],
    stage: Mapping[str, NDArray[Any]],
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Write ``metrics.json``, ``provenance.json``, ``reconstruction.npz`` and the image file.

    Args:
        folder: Where to.
        experiment: All choices.
        problem: What was solved.
        images: Solver images; "" is the main result, others are baselines.
        stage: Arrays of the sampler's stage.
        metrics: Numbers.
        provenance: How they came about.
    """
    for name, content in (("metrics", metrics), ("provenance", provenance)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    reconstruction = problem.values(images[""])
    arrays: dict[str, NDArray[Any]] = {
        "reconstruction": reconstruction,
        "measurement": problem.likelihood.y.cpu().numpy(),
        "measurement_picture": problem.picture,
        "misfit": stage["misfit"],
    }
    arrays |= {f"baseline_{n}": problem.values(x) for n, x in images.items() if n}
    if problem.truth is not None:
        arrays["truth"] = problem.values(problem.truth)
    if experiment.num_samples > 1:
        arrays["std"] = problem.deviations(torch.from_numpy(stage["std"]))
    if problem.held_out is not None:
        arrays |= _held_out_arrays(problem.held_out, images)
    np.savez_compressed(folder / "reconstruction.npz", **arrays)  # type: ignore[arg-type]
    _write_image(folder, experiment, problem, reconstruction)


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


def _held_out_arrays(held_out: HeldOut, images: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return the residual over noise of each held-out location, over the coils."""
    arrays: dict[str, NDArray[Any]] = {"heldout_radius": held_out.radius.numpy()}
    test = held_out.test
    for name, image in images.items():
        squared = (test.precision * test.residual(image).abs() ** 2).mean(-2) / 2
        suffix = f"_{name}" if name else ""
        arrays[f"heldout_residual{suffix}"] = squared.sqrt().cpu().numpy()
    return arrays


def _write_image(
    folder: Path, experiment: Experiment, problem: Problem, values: NDArray[np.float32]
) -> None:
    """Write NIfTI or a derived DICOM series, on the grid of the input's slice."""
    if problem.placed is None or problem.original is None:
        return
    image = onto(problem.placed.replaced(values[None]), problem.original)
    if isinstance(image.template, tuple):
        prior = Path(experiment.prior.name).name
        words = f"{experiment.sampler.kind} from {experiment.operator.kind}, prior {prior}"
        description = words.encode("ascii", "replace").decode().replace("\\", "/")
        write_dicom(image, folder / "reconstruction-dicom", description=description, overwrite=True)
    elif image.source is not None and image.source.suffix in (".npy", ".npz"):
        return
    else:
        write_nifti(image, folder / "reconstruction.nii.gz", overwrite=True)
