"""An experiment as values: what is read, measured, reconstructed, and by which method."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from invdiff.study.base import Config, SampleName
from invdiff.study.forward import MRIConfig, OperatorConfig
from invdiff.study.holdout import HoldoutConfig
from invdiff.study.noise import GaussianConfig, NoiseConfig
from invdiff.study.prior import PriorConfig
from invdiff.study.sampling import RedDiffConfig, SamplerConfig

__all__ = ["Baseline", "Experiment", "GridConfig", "InputConfig", "PriorConfig"]

Baseline = Literal["fbp", "zero_filled", "cg_sense", "l1_wavelet", "bicubic", "least_squares", "tv"]

_BASELINES: dict[str, tuple[Baseline, ...]] = {
    "ct-parallel": ("fbp", "tv"),
    "ct-fan": ("fbp", "tv"),
    "mri-cartesian": ("zero_filled", "cg_sense", "tv"),
    "inpainting": ("tv",),
    "blur": ("least_squares", "tv"),
    "downsample": ("bicubic", "tv"),
}
# which operators a baseline can invert, by the start of their kind
_ONLY_FOR = {
    "fbp": "ct-",
    "zero_filled": "mri-",
    "cg_sense": "mri-",
    "l1_wavelet": "mri-",
    "bicubic": "downsample",
}
_LEVELS = {"ct-parallel": 0.005, "ct-fan": 0.005, "mri-cartesian": 0.005}
_IMAGE_LEVEL = 0.01
_REAL_NOISE = ("poisson", "poisson-gaussian", "rician")


class GridConfig(Config):
    """The grid that is reconstructed on.

    Args:
        kind: "fill" resamples the whole field of view, "spacing" takes pixels of ``pixel_mm``
            about its centre, "fit" keeps the pixels where they are and pads.
        size: Rows and columns; those of the prior if not given.
        pixel_mm: Edge of a pixel, for "spacing" and for a measured sinogram.
    """

    kind: Literal["fill", "spacing", "fit"]
    size: PositiveInt | None = None
    pixel_mm: PositiveFloat | None = None

    @model_validator(mode="after")
    def _check_pixel(self) -> Self:
        if (self.kind == "spacing") != (self.pixel_mm is not None):
            raise ValueError(f"kind spacing and pixel_mm go together, got kind {self.kind}")
        return self


class InputConfig(Config):
    """An image to simulate a scan of, or a measurement.

    Args:
        path: DICOM file or folder, NIfTI, fastMRI or ISMRMRD file, NPY or NPZ. A real array is
            a sinogram (counts, for transmission noise) for a CT operator, an image otherwise;
            a complex one is k-space.
        sample: A sample that ships with the package, instead of a path.
        slice: Index, or the middle one.
        modality: What a NIfTI file holds, which doesn't say it.
        key: The array to read of an NPZ file.
        grid: By default "fill" for CT and "spacing" of 1 mm for others.
        holdout: Samples of measured k-space that no method sees, to judge the results by.
    """

    path: str | None = None
    sample: SampleName | None = None
    slice: Literal["middle"] | NonNegativeInt = "middle"
    modality: Literal["CT", "MR", "other"] | None = None
    key: str | None = None
    grid: GridConfig | None = None
    holdout: HoldoutConfig | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.path is None) == (self.sample is None):
            raise ValueError("expected either a path or a sample")
        return self

    def describe(self) -> str:
        """Say where the image comes from, without the folders."""
        name = self.sample or Path(str(self.path)).name
        return f"{name}, {'middle slice' if self.slice == 'middle' else f'slice {self.slice}'}"


class Experiment(Config):
    """Everything that decides the result.

    Args:
        name: Short name.
        title: Heading of the report.
        seed: Of all random numbers.
        device: Where to compute, such as "cpu" or "cuda".
        input: What is read.
        operator: What is measured.
        noise: How the measurement scatters; for a simulation Gaussian by default, of 0.5 % for
            CT and MR and 1 % otherwise. Measured data need it stated.
        prior: The denoiser.
        sampler: RED-diff by default.
        num_samples: Samples; their mean is the result, their spread is shown.
        baselines: Classical methods to compare with; by default those that suit the operator.
    """

    name: str = "experiment"
    title: str = ""
    seed: int = 0
    device: str = "cpu"
    input: InputConfig
    operator: OperatorConfig
    noise: NoiseConfig | None = None
    prior: PriorConfig
    sampler: SamplerConfig = RedDiffConfig()
    num_samples: PositiveInt = 1
    baselines: tuple[Baseline, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Add the kinds that go without saying, and the baselines of the operator."""
        if not isinstance(values, dict):
            return values
        filled = dict(values)
        for key, kind in (("sampler", "red-diff"), ("noise", "gaussian")):
            if isinstance(filled.get(key), dict):
                filled[key] = {"kind": kind, **filled[key]}
        operator = filled.get("operator")
        if isinstance(operator, dict):
            filled.setdefault("baselines", _BASELINES.get(str(operator.get("kind")), ()))
        return filled

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        operator, noise = self.operator.kind, self.noise
        if noise is not None and noise.kind == "transmission" and not operator.startswith("ct-"):
            raise ValueError(f"noise.kind: transmission is for CT, the operator is {operator}")
        if noise is not None and noise.kind in _REAL_NOISE and operator == "mri-cartesian":
            raise ValueError(f"noise.kind: {noise.kind} is for real measurements, not for k-space")
        if noise is not None and noise.kind == "rician" and operator.startswith("ct-"):
            raise ValueError("noise.kind: rician is for magnitude images, not for sinograms")
        for name in self.baselines:
            if not operator.startswith(_ONLY_FOR.get(name, "")):
                raise ValueError(f"baselines: {name} does not invert {operator}")
        self._check_wavelets()
        return self

    def _check_wavelets(self) -> None:
        if "l1_wavelet" not in self.baselines:
            return
        holdout = self.input.holdout
        if holdout is None or holdout.validation == 0:
            raise ValueError(
                "baselines: the weight of l1_wavelet is chosen on input.holdout.validation"
            )
        if isinstance(self.operator, MRIConfig) and self.operator.image != "complex":
            raise ValueError("baselines: l1_wavelet needs operator.image: complex")

    @property
    def simulation_noise(self) -> NoiseConfig:
        """The noise of a simulated measurement."""
        if self.noise is not None:
            return self.noise
        return GaussianConfig(level=_LEVELS.get(self.operator.kind, _IMAGE_LEVEL))
