"""Configurations of the forward operators: MR, and the union of all."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from invdiff.study.base import Config
from invdiff.study.forward_ct import FanConfig, ParallelConfig
from invdiff.study.forward_image import BlurConfig, DownsampleConfig, InpaintingConfig
from operators import (
    CartesianMRI,
    ImageGrid,
    LinearOperator,
    RealToComplex,
    birdcage_maps,
    cartesian_lines,
    equispaced_lines,
)

__all__ = ["MRIConfig", "OperatorConfig"]


class MRIConfig(Config):
    """Multi-coil Cartesian MR, lines of k-space left out.

    Args:
        coils: Simulated coils on a ring; measured k-space has its own.
        acceleration: Lines of k-space over sampled lines.
        center_fraction: Share of the lines in the fully sampled centre.
        pattern: Which lines are sampled outside the centre.
        phase_axis: Axis of the image along which lines are left out.
        maps: How the coil maps of measured k-space are estimated from its centre.
        image: Whether the image of measured k-space is real, all of its phase being that of the
            maps, or complex.
    """

    kind: Literal["mri-cartesian"] = "mri-cartesian"
    coils: PositiveInt = 8
    acceleration: float = Field(4.0, ge=1)
    center_fraction: float = Field(0.08, ge=0, le=1)
    pattern: Literal["random", "equispaced"] = "random"
    phase_axis: Literal["rows", "columns"] = "columns"
    maps: Literal["low-resolution", "espirit"] = "low-resolution"
    image: Literal["real", "complex"] = "real"

    # what measured k-space has of its own
    SIMULATED: ClassVar[tuple[str, ...]] = (
        "acceleration",
        "center_fraction",
        "coils",
        "pattern",
        "phase_axis",
    )

    def build(self, grid: ImageGrid, generator: torch.Generator) -> LinearOperator:
        """Return the map from a real image to the k-space of simulated coils."""
        if self.image == "complex":
            raise ValueError("operator.image: complex is for measured k-space")
        maps = birdcage_maps(grid.shape, self.coils)
        return CartesianMRI(self._mask(grid, generator), maps) @ RealToComplex(grid.shape)

    def describe(self) -> str:
        """Say what is measured."""
        return (
            f"{self.acceleration:g}x undersampled k-space of {self.coils} coils "
            f"({self.pattern} lines, {100 * self.center_fraction:g} % centre)"
        )

    def check_measured(self, name: str) -> None:
        """Refuse what is stated of a simulated scan for measured k-space.

        Args:
            name: Of the input.

        Raises:
            ValueError: One line: which keys.
        """
        fields, stated = type(self).model_fields, self.model_fields_set
        # the resolved configuration of a run states every default
        resolved = stated >= fields.keys()
        wrong = [
            key
            for key in self.SIMULATED
            if key in stated and not (resolved and getattr(self, key) == fields[key].default)
        ]
        if wrong:
            raise ValueError(
                f"operator.{', operator.'.join(wrong)}: of a simulated scan only; {name} is "
                "measured k-space, with its own lines and coils"
            )

    def _mask(self, grid: ImageGrid, generator: torch.Generator) -> Tensor:
        axis = -1 if self.phase_axis == "columns" else -2
        numbers = (grid.shape, self.acceleration, self.center_fraction)
        if self.pattern == "equispaced":
            return equispaced_lines(*numbers, axis=axis)
        return cartesian_lines(*numbers, axis=axis, generator=generator)


OperatorConfig = Annotated[
    ParallelConfig | FanConfig | MRIConfig | InpaintingConfig | BlurConfig | DownsampleConfig,
    Field(discriminator="kind"),
]
