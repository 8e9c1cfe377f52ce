"""The sub-command that needs no YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from invdiff.study.options import OutFolder, SetValues, run_and_print

__all__ = ["Reconstruct"]


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct a scan without a YAML file.

    An image (DICOM, NIfTI) is scanned by simulation first; k-space (fastMRI, ISMRMRD, complex
    NPY) and sinograms (NPY, with --pixel-mm) are measurements already, and need their noise.

    Args:
        scan: The file, or the folder of a DICOM series.
        operator: What is measured.
        out: New folder for the results.
        prior: Name or folder; by default the shipped one for CT or MR.
        sampler: Method; "invdiff list" names them.
        noise: Standard deviation of Gaussian noise, relative: to the sinogram's maximum, the MR
            image scale, or the image range.
        sigma: The same in the unit of measured data; "estimate" for k-space.
        photons: Photons of an unattenuated ray: noise of counts instead of Gaussian noise.
        views: CT views.
        acceleration: MR lines over sampled lines.
        coils: Simulated MR coils.
        factor: Of down-sampling.
        keep: Share of the pixels for inpainting.
        blur: Standard deviation of the blur in pixels.
        modality: What a NIfTI file holds.
        slice: Index of the slice; the middle one if not given.
        pixel_mm: Pixel size of the image; needed for a sinogram.
        num_samples: Samples; more than one show a spread.
        seed: Of all random numbers.
        set: Change any other value, such as sampler.num_steps=50.
        device: Where to compute, such as cuda.
        overwrite: Replace an earlier result in that folder.
        resume: Go on with an interrupted run.
    """

    scan: Positional[Annotated[Path, arg(metavar="SCAN")]]
    operator: Literal["ct-parallel", "ct-fan", "mri-cartesian", "inpainting", "blur", "downsample"]
    out: OutFolder
    prior: Annotated[str | None, arg(metavar="NAME")] = None
    sampler: Annotated[str, arg(metavar="KIND")] = "red-diff"
    noise: Annotated[float | None, arg(metavar="LEVEL")] = None
    sigma: Annotated[str | None, arg(metavar="SIGMA")] = None
    photons: Annotated[float | None, arg(metavar="N")] = None
    views: Annotated[int | None, arg(metavar="N")] = None
    acceleration: Annotated[float | None, arg(metavar="X")] = None
    coils: Annotated[int | None, arg(metavar="N")] = None
    factor: Annotated[int | None, arg(metavar="N")] = None
    keep: Annotated[float | None, arg(metavar="SHARE")] = None
    blur: Annotated[float | None, arg(metavar="PIXELS")] = None
    modality: Annotated[str | None, arg(metavar="CT|MR")] = None
    slice: Annotated[int | None, arg(metavar="INDEX")] = None
    pixel_mm: Annotated[float | None, arg(metavar="MM")] = None
    num_samples: int = 1
    seed: int = 0
    set: SetValues = ()
    device: str = "cpu"
    overwrite: bool = False
    resume: bool = False

    def __call__(self) -> None:
        """Run it."""
        from invdiff.study.load import parse_experiment

        experiment = parse_experiment(self.values(), self.set)
        run_and_print(experiment, self.out, self.overwrite, self.resume)

    def values(self) -> dict[str, Any]:
        """Return the options as a configuration."""
        grid = None if self.pixel_mm is None else {"kind": "spacing", "pixel_mm": self.pixel_mm}
        source = {"path": str(self.scan), "slice": self.slice, "modality": self.modality}
        measured: dict[str, Any] = {
            "views": self.views,
            "acceleration": self.acceleration,
            "coils": self.coils,
        }
        measured |= {"factor": self.factor, "sigma": self.blur}
        measured |= {"mask": None if self.keep is None else {"kind": "random", "keep": self.keep}}
        name = self.scan.name.split(".")[0] or "scan"
        return {
            "name": name,
            "title": f"{name}: {self.operator}",
            "seed": self.seed,
            "device": self.device,
            "input": _given({**source, "grid": grid}),
            "operator": {"kind": self.operator, **_given(measured)},
            "noise": self._noise(),
            "prior": {"name": self.prior or self._default_prior()},
            "sampler": {"kind": self.sampler},
            "num_samples": self.num_samples,
        }

    def _noise(self) -> dict[str, Any] | None:
        if self.photons is not None:
            if self.noise is not None or self.sigma is not None:
                raise ValueError("--photons: counts have no other noise, drop --noise and --sigma")
            return {"kind": "transmission", "photons": self.photons}
        sigma = self.sigma if self.sigma in (None, "estimate") else _number("--sigma", self.sigma)
        gaussian = _given({"level": self.noise, "sigma": sigma})
        return {"kind": "gaussian", **gaussian} if gaussian else None

    def _default_prior(self) -> str:
        if self.operator.startswith("ct-"):
            return "ct-256"
        if self.operator == "mri-cartesian":
            return "brain-mr-256"
        raise ValueError(f"--prior: {self.operator} says nothing about the image, name the prior")


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _number(name: str, text: Any) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: expected a number or estimate, got {text!r}") from None
