"""Write arrays, numbers, and the image in the input's own format and place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from invdiff.data import onto, write_dicom, write_nifti
from invdiff.study.config import Experiment
from invdiff.study.holdout import HeldOut
from invdiff.study.problem import Problem

__all__ = ["write_results"]


def write_results(
    folder: Path,
    experiment: Experiment,
    problem: Problem,
    images: Mapping[str, Tensor],
    main: Mapping[str, NDArray[Any]],
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Write ``metrics.json``, ``provenance.json``, ``reconstruction.npz`` and the image file.

    Args:
        folder: Where to.
        experiment: All choices.
        problem: What was solved.
        images: Solver images; "" is the main result, others are baselines.
        main: Arrays of the sampler's stage.
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
        "misfit": main["misfit"],
    }
    arrays |= {f"baseline_{n}": problem.values(x) for n, x in images.items() if n}
    if problem.truth is not None:
        arrays["truth"] = problem.values(problem.truth)
    if experiment.num_samples > 1:
        std = main["std"] if problem.frame is None else main["std"][problem.frame]
        arrays["std"] = (std * problem.units.scale).astype(np.float32)
    if problem.held_out is not None:
        arrays |= _held_out_arrays(problem.held_out, images)
    np.savez_compressed(folder / "reconstruction.npz", **arrays)  # type: ignore[arg-type]
    _write_image(folder, experiment, problem, reconstruction)


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
