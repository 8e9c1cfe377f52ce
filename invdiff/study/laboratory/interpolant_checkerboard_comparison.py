"""The learned ODE and SDEs, compared by log densities at the same true points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from invdiff.interpolants.process import FieldProcess
from invdiff.study.laboratory.interpolant_checkerboard_densities import (
    by_paths,
    mean_and_error,
    ode_log_density,
    sde_weights,
)
from invdiff.study.laboratory.interpolant_checkerboard_runs import SdeRun
from invdiff.study.scripted import Arrays, Metrics
from invdiff.study.stages import Stages

__all__ = ["DensityComparison"]


@dataclass(frozen=True, eq=False)
class DensityComparison:
    """Divergences of the truth from each sampler.

    Args:
        process: The learned one.
        points: Of the truth at the end, ``(count, 2)``.
        true: Their log density.
        runs: SDEs by name.
        main: The one that is tried with each number of paths.
        num_paths: Of each SDE, at each point.
        counts: Increasing numbers of paths, with ``num_paths``.
        generator: Makes the source of paths, the same for each SDE.
    """

    process: FieldProcess
    points: Tensor
    true: Tensor
    runs: Mapping[str, SdeRun]
    main: str
    num_paths: int
    counts: Sequence[int]
    generator: Callable[[], torch.Generator]

    def arrays(self, stages: Stages, ode_steps: int, end: float) -> Arrays:
        """Return log densities, and log weights where the density is a mean.

        Args:
            stages: Where each sampler is a stage.
            ode_steps: Of Heun's method.
            end: Time of the points.
        """

        def ode() -> Arrays:
            found = ode_log_density(self.process, self.points, ode_steps, end)
            return {"end_ode": found.cpu().numpy()}

        found = {"end_true": self.true.cpu().numpy()} | stages.run("density_ode", ode)
        for name in self.runs:
            found |= stages.run(f"density_{name}", partial(self._weights, name))
        found.pop("seconds")
        return found

    def metrics(self, found: Arrays) -> Metrics:
        """Return divergences with standard errors, and differences over the same points."""
        true = torch.from_numpy(found["end_true"])
        ode = true - torch.from_numpy(found["end_ode"])
        metrics: Metrics = {}

        def note(name: str, values: Tensor) -> None:
            metrics[name], metrics[f"{name}_error"] = mean_and_error(values)

        note("end_kl_ode", ode)
        for name in self.runs:
            values = by_paths(true, torch.from_numpy(found[f"end_{name}"]), self.num_paths)
            note(f"end_kl_{name}", values)
            note(f"gain_{name}", ode - values)
        weights = torch.from_numpy(found[f"end_{self.main}"])
        most = by_paths(true, weights, max(self.counts))
        for count in self.counts:
            values = by_paths(true, weights, count)
            note(f"paths_{count}_kl", values)
            note(f"paths_{count}_excess", values - most)
            note(f"paths_{count}_gain", ode - values)
        return metrics

    def _weights(self, name: str) -> Arrays:
        paths = max(self.counts) if name == self.main else self.num_paths
        run, generator = self.runs[name], self.generator()
        found = sde_weights(self.process, self.points, run, paths, generator=generator)
        return {f"end_{name}": found.cpu().numpy()}
