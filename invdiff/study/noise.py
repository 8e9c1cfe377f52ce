"""Configurations of the noise, always relative to something that is named."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveFloat, model_validator
from torch import Tensor

from invdiff.study.base import Config
from operators import (
    GaussianNoise,
    NoiseModel,
    PoissonGaussianNoise,
    PoissonNoise,
    RicianNoise,
    TransmissionNoise,
)

__all__ = [
    "GaussianConfig",
    "NoiseConfig",
    "PoissonConfig",
    "PoissonGaussianConfig",
    "RicianConfig",
    "TransmissionConfig",
]


def _checked_level(level: float) -> float:
    if level > 1:
        raise ValueError(f"expected at most 1 (100 % of its reference), got {level:g}")
    return level


_Level = Annotated[PositiveFloat, AfterValidator(_checked_level)]


class GaussianConfig(Config):
    """Normal noise; of the real and the imaginary part each where data are complex.

    Args:
        level: Standard deviation over a reference: the maximum of the sinogram for CT, the
            image scale for MR, the image range otherwise; at most 1.
        sigma: Standard deviation in the unit of measured data, instead of a level; "estimate"
            takes it from the outermost samples of measured k-space.
    """

    kind: Literal["gaussian"] = "gaussian"
    level: _Level | None = None
    sigma: PositiveFloat | Literal["estimate"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _check_single(cls, values: Any) -> Any:
        given = values if isinstance(values, dict) else {}
        if given.get("level") is not None and given.get("sigma") is not None:
            raise ValueError("give a level or a sigma, not both")
        return values

    def build(self, reference: float, clean: Tensor) -> NoiseModel:
        """Return the model for a simulated measurement of that reference."""
        if self.level is None:
            raise ValueError("noise.level: a simulation needs it")
        return GaussianNoise(self.level * reference)

    def describe(self) -> str:
        """Say how strong the noise is."""
        if self.level is not None:
            return f"Gaussian noise of {100 * self.level:g} % of"
        return f"Gaussian noise of standard deviation {self.sigma}"


class PoissonConfig(Config):
    """Counts, such as of emission; expected number at the brightest measured value."""

    kind: Literal["poisson"] = "poisson"
    counts: PositiveFloat

    def build(self, reference: float, clean: Tensor) -> NoiseModel:
        """Return the model for a simulated measurement."""
        return PoissonNoise(_gain(self.counts, clean))

    def describe(self) -> str:
        """Say how strong the noise is."""
        return f"Poisson noise of {self.counts:g} counts at most"


class PoissonGaussianConfig(Config):
    """Counts read out by electronics, such as of a camera.

    Args:
        counts: Expected number at the brightest measured value.
        readout: Standard deviation of the electronics in counts.
    """

    kind: Literal["poisson-gaussian"] = "poisson-gaussian"
    counts: PositiveFloat
    readout: PositiveFloat

    def build(self, reference: float, clean: Tensor) -> NoiseModel:
        """Return the model for a simulated measurement."""
        gain = _gain(self.counts, clean)
        return PoissonGaussianNoise(gain, self.readout / gain)

    def describe(self) -> str:
        """Say how strong the noise is."""
        return f"Poisson noise of {self.counts:g} counts at most, read out to {self.readout:g}"


class RicianConfig(Config):
    """Magnitude of a complex image with normal noise.

    Args:
        level: Standard deviation of the real and of the imaginary part over the image range,
            at most 1.
    """

    kind: Literal["rician"] = "rician"
    level: _Level

    def build(self, reference: float, clean: Tensor) -> NoiseModel:
        """Return the model for a simulated measurement of that reference."""
        return RicianNoise(self.level * reference)

    def describe(self) -> str:
        """Say how strong the noise is."""
        return f"Rician noise of {100 * self.level:g} % of"


class TransmissionConfig(Config):
    """Photon counts behind an absorber; expected number of an unattenuated ray."""

    kind: Literal["transmission"] = "transmission"
    photons: PositiveFloat

    def build(self, reference: float, clean: Tensor) -> NoiseModel:
        """Return the model."""
        return TransmissionNoise(self.photons)

    def describe(self) -> str:
        """Say how strong the noise is."""
        return f"Poisson counts of {self.photons:g} photons per unattenuated ray"


def _gain(counts: float, clean: Tensor) -> float:
    peak = float(clean.max())
    if peak <= 0:
        raise ValueError("noise.counts: the clean measurement is zero everywhere")
    return counts / peak


NoiseConfig = Annotated[
    GaussianConfig | PoissonConfig | PoissonGaussianConfig | RicianConfig | TransmissionConfig,
    Field(discriminator="kind"),
]
