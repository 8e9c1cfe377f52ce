"""Configurations of the samplers of volumes and of their couplings, made of their own fields."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field, field_validator

from invdiff.priors import Denoiser
from invdiff.study.sampling import SamplerBase, config_of
from invdiff.volumes import (
    DDS3D,
    DiffPIR3D,
    DiffusionMBIR,
    Independent,
    PerpendicularPrior,
    QuadraticZ,
    RedDiff3D,
    SliceCoupling,
    Together,
    TotalVariationZ,
    VolumeSampler,
)

__all__ = ["COUPLING_KINDS", "VOLUME_KINDS", "Planes", "VolumeSamplerBase"]


class Planes(NamedTuple):
    """What planes that stand across the slices need.

    Args:
        denoiser_of: Prior of planes of the size (rows, columns), in the units of the image.
        spacing: Of slices, rows and columns, mm.
    """

    denoiser_of: Callable[[tuple[int, int]], Denoiser]
    spacing: tuple[float, float, float]


class _PlanesBase(SamplerBase):
    def build(self, planes: Planes | None = None) -> SliceCoupling:
        """Return the coupling; without planes its numbers are checked alone."""
        numbers = self.model_dump(exclude={"kind"})
        given = planes or Planes(_no_denoiser, (1.0, 1.0, 1.0))
        coupling: SliceCoupling = type(self).method(**given._asdict(), **numbers)
        return coupling


# what can tie slices together
COUPLING_KINDS: dict[str, type[SamplerBase]] = {
    "independent": config_of("independent", Independent),
    "quadratic-z": config_of("quadratic-z", QuadraticZ),
    "tv-z": config_of("tv-z", TotalVariationZ),
    "perpendicular": config_of(
        "perpendicular", PerpendicularPrior, leave_out=Planes._fields, base=_PlanesBase
    ),
}

if TYPE_CHECKING:
    CouplingConfig = Any  # made at run time, out of what is in COUPLING_KINDS
else:
    CouplingConfig = Annotated[reduce(or_, COUPLING_KINDS.values()), Field(discriminator="kind")]


class VolumeSamplerBase(SamplerBase):
    """The fields of a sampler of volumes beside its kind.

    Args:
        start: The method whose volume it goes on from, such as one of the same study; by default
            the sampler begins by itself.
    """

    start: str | None = None

    def build(self, planes: Planes | None = None) -> VolumeSampler:
        """Return the sampler.

        Args:
            planes: For couplings that use planes across the slices.
        """
        numbers = self.model_dump(exclude={"kind", "start"})
        sampler: VolumeSampler = type(self).method(**numbers)
        return sampler


class CoupledBase(VolumeSamplerBase):
    """The fields of a sampler whose slices can be coupled.

    Args:
        coupling: One coupling, or a list of them that act together; none by default.
    """

    coupling: tuple[CouplingConfig, ...] = ()

    @field_validator("coupling", mode="before")
    @classmethod
    def _accept_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict) else value

    def build(self, planes: Planes | None = None) -> VolumeSampler:
        """Return the sampler; see ``VolumeSamplerBase``."""
        numbers = self.model_dump(exclude={"kind", "start", "coupling"})
        sampler: VolumeSampler = type(self).method(**numbers, coupling=self._coupling(planes))
        return sampler

    def _coupling(self, planes: Planes | None) -> SliceCoupling:
        parts: list[SliceCoupling] = [
            part.build(planes) if isinstance(part, _PlanesBase) else part.build()
            for part in self.coupling
        ]
        if len(parts) == 1:
            return parts[0]
        return Together(tuple(parts)) if parts else Independent()


def _coupled(kind: str, method: type[VolumeSampler]) -> Any:
    return config_of(kind, method, leave_out=("coupling",), base=CoupledBase)


# what can be named in a configuration
VOLUME_KINDS: dict[str, type[VolumeSamplerBase]] = {
    "red-diff-3d": _coupled("red-diff-3d", RedDiff3D),
    "diffpir-3d": _coupled("diffpir-3d", DiffPIR3D),
    "dds-3d": _coupled("dds-3d", DDS3D),
    # it brings its own coupling
    "diffusion-mbir": config_of("diffusion-mbir", DiffusionMBIR, base=VolumeSamplerBase),
}


def _no_denoiser(size: tuple[int, int]) -> Denoiser:
    raise ValueError(f"perpendicular: no prior of planes of {size} was given")
