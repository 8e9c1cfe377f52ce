"""Configurations of the samplers of volumes and of their couplings, made of their own fields."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from invdiff.study.sampling import SamplerBase, config_of
from invdiff.volumes import (
    Coupling,
    Independent,
    QuadraticZ,
    RedDiff3D,
    Together,
    TotalVariationZ,
    VolumeSampler,
)

__all__ = ["COUPLING_KINDS", "VOLUME_KINDS", "VolumeSamplerBase"]

# what can tie slices together
COUPLING_KINDS: dict[str, type[SamplerBase]] = {
    "independent": config_of("independent", Independent),
    "quadratic-z": config_of("quadratic-z", QuadraticZ),
    "tv-z": config_of("tv-z", TotalVariationZ),
}

if TYPE_CHECKING:
    CouplingConfig = Any  # made at run time, out of what is in COUPLING_KINDS
else:
    CouplingConfig = Annotated[reduce(or_, COUPLING_KINDS.values()), Field(discriminator="kind")]


class VolumeSamplerBase(SamplerBase):
    """The fields of a sampler of volumes beside its kind.

    Args:
        coupling: One coupling, or a list of them that act together; none by default.
    """

    coupling: tuple[CouplingConfig, ...] = ()

    @field_validator("coupling", mode="before")
    @classmethod
    def _accept_one(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict) else value

    def build(self) -> VolumeSampler:
        """Return the sampler."""
        numbers = self.model_dump(exclude={"kind", "coupling"})
        sampler: VolumeSampler = type(self).method(**numbers, coupling=self.build_coupling())
        return sampler

    def build_coupling(self) -> Coupling:
        """Return what ties the slices together."""
        parts: tuple[Coupling, ...] = tuple(part.build() for part in self.coupling)
        if len(parts) == 1:
            return parts[0]
        return Together(parts) if parts else Independent()


def _sampler_config(kind: str, method: type[VolumeSampler]) -> Any:
    return config_of(kind, method, leave_out=("coupling",), base=VolumeSamplerBase)


# what can be named in a configuration
VOLUME_KINDS: dict[str, type[VolumeSamplerBase]] = {
    "red-diff-3d": _sampler_config("red-diff-3d", RedDiff3D),
}
