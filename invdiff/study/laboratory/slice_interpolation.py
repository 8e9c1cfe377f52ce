"""Slices missing between known ones: nearest, linear, cubic, or a prior of slices."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.study.base import SampleName
from invdiff.study.config import PriorConfig
from invdiff.study.laboratory import slice_interpolation_figures as figures
from invdiff.study.laboratory.slice_interpolation_chain import WAYS, chain_moments
from invdiff.study.laboratory.slice_interpolation_methods import METHODS, filled, scored
from invdiff.study.laboratory.volume_scans import ScanSource, VolumeScan, read_scans
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SliceInterpolation"]


class SliceInterpolation(ScriptedStudy):
    """Take slices out of a volume and fill them in again.

    Beside it, the exact case: a gap of a Gaussian chain, drawn from one end, from both in turn,
    and from the product of what both ends know.

    Args:
        scan: A whole image, axial slices.
        fallback: The sample that is read if it isn't there.
        slices: How many about the middle, if it has so many.
        size: Rows and columns of the grid.
        pixel_mm: Edge of its pixels.
        every: One slice of so many is known, and the last one.
        prior: The denoiser of slices.
        num_steps: Network calls for each missing slice.
        strength: Of the coupling of neighbours, see ``gap_sampler``.
        gap: Slices of the gap of the chain.
        correlation: Of its neighbours.
        num_samples: Gaps that are drawn.
    """

    kind: Literal["slice-interpolation"] = "slice-interpolation"
    scan: ScanSource | None = None
    fallback: SampleName | None = None
    slices: Annotated[int, Field(ge=3)] = 13
    size: PositiveInt = 128
    pixel_mm: PositiveFloat | None = None
    every: tuple[Annotated[int, Field(ge=2)], ...] = Field((2, 4), min_length=1)
    prior: PriorConfig
    num_steps: Annotated[int, Field(ge=2)] = 8
    strength: PositiveFloat = 3.0
    gap: PositiveInt = 5
    correlation: float = Field(0.8, gt=0, lt=1)
    num_samples: Annotated[int, Field(ge=2)] = 2000

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scan is None and self.fallback is None:
            raise ValueError("scan: expected one, or a fallback")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Fill the slices of every spacing by every method, then draw the gap of the chain."""
        scan = self._read()
        truth = scan.truth.float()
        arrays: Arrays = {
            "truth": truth.numpy(),
            "window": np.array(scan.units.solver_window),
            "thickness": np.array(scan.placed.spacing[0]),
        }
        metrics: Metrics = {"num_slices": len(truth)}
        for every in self.every:
            if every >= len(truth):
                raise ValueError(f"every: expected less than {len(truth)} slices, got {every}")
            found = stages.run(f"every-{every}", partial(self._filled, scan, every))
            arrays |= {f"{name}_{every}": found[name] for name in (*METHODS, "missing")}
            metrics |= scored(found, truth, every, scan.units.high - scan.units.low)
        chain = stages.run("chain", self._chain)
        arrays |= {f"chain_{name}": value for name, value in chain.items()}
        for way in WAYS[1:]:
            metrics[f"chain_mean_{way}"] = float(chain[f"error_mean_{way}"])
            metrics[f"chain_covariance_{way}"] = float(chain[f"error_covariance_{way}"])
        return Outcome(metrics, arrays)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw a missing slice, its errors, and the gap of the chain."""
        return {
            "slices": figures.slices(arrays, max(self.every)),
            "errors": figures.errors(metrics, self.every),
            "chain": figures.chain(arrays),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "slices": "The missing slice in the middle of a gap, and what it lacks of the truth.",
            "errors": "PSNR over the missing slices, by the distance of the known ones.",
            "chain": "A gap of a Gaussian chain between two known slices: mean and one standard "
            "deviation of a pixel.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return the PSNR of missing slices, and the errors in the exact case."""
        rows = tuple(
            (name, *(f"{metrics[f'psnr_{name}_{every}']:.2f}" for every in self.every))
            for name in METHODS
        )
        columns = ("method", *(f"1 of {every} known" for every in self.every))
        exact = tuple(
            (
                way,
                f"{metrics[f'chain_mean_{way}']:.3f}",
                f"{100 * metrics[f'chain_covariance_{way}']:.0f} %",
            )
            for way in WAYS[1:]
        )
        return [
            Table("Missing slices (PSNR in dB)", columns, rows),
            Table(
                "A gap of a Gaussian chain", ("drawn", "error of the mean", "of the covariance"),
                exact, "Root mean square over the gap, in standard deviations of the chain; "
                f"relative Frobenius norm; of {self.num_samples} samples.",
            ),
        ]  # fmt: skip

    def summary(self, metrics: Metrics) -> str:
        """Say what a prior of slices adds to linear interpolation."""
        gains = {n: metrics[f"psnr_prior_{n}"] - metrics[f"psnr_linear_{n}"] for n in self.every}
        words = ", ".join(f"{gain:+.2f} dB with 1 of {n} known" for n, gain in gains.items())
        return (
            f"{metrics['num_slices']} slices. A prior of single slices against linear "
            f"interpolation: {words}."
        )

    def _read(self) -> VolumeScan:
        sources = () if self.scan is None else (self.scan,)
        return read_scans(sources, self.fallback, self.slices, self.size, self.pixel_mm)[0]

    def _filled(self, scan: VolumeScan, every: int) -> Arrays:
        prior = self.prior.load(self.device, (self.size, self.size))
        with torch.no_grad():
            return filled(scan, every, prior, self.num_steps, self.strength, self.seed, self.device)

    def _chain(self) -> Arrays:
        return chain_moments(self.gap, self.correlation, self.num_samples, self.seed)
