"""Stochastic interpolants between mixtures on the line, where everything is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.study.laboratory.interpolant_gmm_animation import write_animation
from invdiff.study.laboratory.interpolant_gmm_config import StepRuns, WaveChoice
from invdiff.study.laboratory.interpolant_gmm_figures import (
    bound_figure,
    ode_figure,
    residual_figure,
    steps_figure,
    transport_figure,
)
from invdiff.study.laboratory.interpolant_gmm_kl import Wave, WrongFields
from invdiff.study.laboratory.interpolant_gmm_problem import (
    gaussian_process,
    line,
    mixture_process,
)
from invdiff.study.laboratory.interpolant_gmm_residuals import residual_arrays
from invdiff.study.laboratory.interpolant_gmm_runs import Runs
from invdiff.study.laboratory.interpolant_gmm_scores import (
    bound_metrics,
    marginal_metrics,
    step_metrics,
    tables,
)
from invdiff.study.scripted import Arrays, Link, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["InterpolantGMM"]

_SHOWN_PATHS = 24


class InterpolantGMM(ScriptedStudy):
    r"""Show that the closed forms solve their equations, what epsilon does, and what errors cost.

    Args:
        num_samples: Of each repetition.
        repetitions: Of each run.
        strata: Samples of the low-noise runs, a power of 2.
        floor_draws: Sets of exact samples that say what W1 sampling alone gives.
        runs: Samplers by number of steps, to W1.
        gaps: Grids of times go from one of these to 1 minus it; the first for all runs, the
            others for the ODE.
        epsilons: Whose marginals are compared with the exact ones; 0 is the ODE.
        times: Of these marginals, in (0, 1].
        marginal_steps: So many that only sampling counts.
        waves: Errors of the fields, whose divergence is compared with the bounds.
        kl_epsilons: Of the comparison.
        cells: Of the line, for the divergences.
        kl_steps: Of the time, for the divergences.
        ode_error: Size of the velocity error that gets faster and faster.
        ode_wavenumbers: Its wavenumbers.
        ode_epsilons: That are compared with the ODE.
        path_steps: Of the paths that are drawn and animated.
        particles: Of these.
        frames: Of the animation.
    """

    kind: Literal["interpolant-gmm"] = "interpolant-gmm"
    num_samples: int = Field(20000, ge=100)
    repetitions: int = Field(6, ge=3)
    strata: int = Field(4096, ge=64)
    floor_draws: int = Field(100, ge=20)
    runs: tuple[StepRuns, ...] = Field(min_length=1)
    gaps: tuple[float, ...] = Field((1e-4, 0.0, 1e-3, 1e-2), min_length=1)
    epsilons: tuple[float, ...] = Field((0.0, 0.5, 5.0), min_length=1)
    times: tuple[float, ...] = Field((0.25, 0.5, 0.75, 1.0), min_length=1)
    marginal_steps: PositiveInt = 800
    waves: tuple[WaveChoice, ...] = Field(min_length=1)
    kl_epsilons: tuple[PositiveFloat, ...] = Field(
        (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0, 20.0), min_length=3
    )
    cells: int = Field(1200, ge=100)
    kl_steps: int = Field(300, ge=10)
    ode_error: PositiveFloat = 0.3
    ode_wavenumbers: tuple[float, ...] = Field(
        (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0), min_length=1
    )
    ode_epsilons: tuple[PositiveFloat, ...] = Field((0.1, 0.5, 2.0), min_length=1)
    path_steps: int = Field(320, ge=40)
    particles: int = Field(3000, ge=100)
    frames: int = Field(40, ge=2)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.strata & (self.strata - 1):
            raise ValueError(f"strata: expected a power of 2, got {self.strata}")
        if not all(0 <= gap < 0.5 for gap in self.gaps):
            raise ValueError(f"gaps: expected numbers in [0, 0.5), got {self.gaps}")
        if min(self.epsilons) < 0 or 0.0 not in self.epsilons:
            raise ValueError(f"epsilons: expected 0 and positive ones, got {self.epsilons}")
        for time in self.times:
            place = time * self.marginal_steps
            if not 0 < time <= 1 or abs(place - round(place)) > 1e-9:
                raise ValueError(f"times: expected multiples of 1/marginal_steps, got {time}")
        if list(self.kl_epsilons) != sorted(set(self.kl_epsilons)):
            raise ValueError(f"kl_epsilons: expected increasing ones, got {self.kl_epsilons}")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Find residuals, W1 of all runs, divergences and bounds, and paths to look at."""
        runs = Runs(self.num_samples, self.repetitions, self.strata, self.seed)
        metrics, arrays = self._residuals(stages)
        draw = partial(runs.floor, self.times, self.floor_draws)
        floor = stages.run("floor", draw)["w1"]
        parts = (
            self._steps(stages, runs),
            self._marginals(stages, runs, floor),
            self._bounds(stages),
            self._ode(stages),
        )
        for part in parts:
            metrics |= part
        paths = [self._paths(stages, runs, i) for i in range(len(self.epsilons))]
        draw_animation = partial(
            write_animation, paths=paths, epsilons=self.epsilons, frames=self.frames
        )
        return Outcome(metrics, arrays | _shown(paths), folders={"animation": draw_animation})

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the transport, W1, divergences with their bounds, and the residuals."""
        return {
            "what_epsilon_does": transport_figure(arrays, self.epsilons),
            "steps": steps_figure(metrics, self.runs, self.gaps),
            "divergence_and_bound": bound_figure(metrics, self.kl_epsilons, self.waves),
            "no_bound_for_the_ode": ode_figure(metrics, self.ode_wavenumbers, self.ode_epsilons),
            "residuals": residual_figure(arrays, self.equations()),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "what_epsilon_does": f"Exact density over time (dark: more) and {_SHOWN_PATHS} paths "
            "from the same starts. All have the same law at each time: the ODE's paths never "
            "cross, noise makes them change modes. Right: the exact target and "
            f"{self.particles} end points of each.",
            "steps": f"W1 to the exact target. Filled: low-noise runs, the error of the steps "
            f"alone. Bars: {self.repetitions} random runs of {self.num_samples} samples, mean and "
            "scatter. Crosses: single earlier runs. Grey: the same for exact samples.",
            "divergence_and_bound": "KL of the exact target to the law of the SDE with wrong "
            "fields, both without sampling, and Girsanov's bounds on it. Dashed: the ODE, to "
            "which no bound applies. Vertical: the epsilon of the smallest bound, and of the "
            "smallest KL.",
            "no_bound_for_the_ode": f"A velocity error of root mean square {self.ode_error:g}, "
            "faster and faster, from N(0, 1) to N(1, 1/2). The SDEs stay below their bounds "
            "(dotted); the KL of the ODE grows.",
            "residuals": "Largest residual over x, relative to the sizes of the terms. Control: "
            "the velocity with a wrong sign of its score term, which is 0 at t = 1/2.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return W1 by steps, grids, and times, and the divergences."""
        return tables(metrics, self)

    def summary(self, metrics: Metrics) -> str:
        """Say what holds, and how far the bounds are from the divergences."""
        return (
            f"The closed forms solve their transport and Fokker-Planck equations to "
            f"{metrics['residual_max']:.0e}. With exact fields the laws at "
            f"{len(self.times)} times are, for each epsilon, "
            f"{metrics['marginal_ratio_min']:.2f} to {metrics['marginal_ratio_max']:.2f} times as "
            "far in W1 from the exact ones as exact samples are. With wrong fields "
            f"the KL of the SDE is below Girsanov's bound by factors of "
            f"{metrics['bound_ratio_min']:.2f} to {metrics['bound_ratio_max']:.1f}; for the ODE "
            f"it grows from {metrics['ode_kl'][0]:.2f} to {max(metrics['ode_kl']):.2f} with the "
            "wavenumber of an error of fixed size."
        )

    def links(self, folder: Path) -> list[Link]:
        """Link to the animation."""
        return [Link("Watch the transport", "animation/transport.gif")]

    def equations(self) -> dict[str, str]:
        """Return the titles of the equations, by the names of their residuals."""
        named = {"transport": "transport"}
        for i, epsilon in enumerate(self._noises()):
            for name in ("forward", "backward"):
                named[f"{name}_{i}"] = f"Fokker-Planck {name}, epsilon = {epsilon:g}"
        return named | {"control": "control"}

    def _noises(self) -> list[float]:
        return [epsilon for epsilon in self.epsilons if epsilon > 0]

    def _residuals(self, stages: Stages) -> tuple[Metrics, Arrays]:
        points, times = line(9.0, 180), torch.linspace(0.02, 0.98, 33, dtype=torch.float64)
        find = partial(residual_arrays, mixture_process(), self._noises(), points, times)
        found = stages.run("residuals", find)
        largest = {name: found[name].max(1) for name in self.equations()}
        metrics = {f"residual_{name}": float(rows.max()) for name, rows in largest.items()}
        metrics["residual_max"] = max(v for k, v in metrics.items() if k != "residual_control")
        arrays = {f"residual_{name}": rows for name, rows in largest.items()}
        return metrics, arrays | {"residual_times": times.numpy()}

    def _steps(self, stages: Stages, runs: Runs) -> Metrics:
        metrics: Metrics = {}
        for i, choice in enumerate(self.runs):
            gaps = self.gaps if choice.epsilon == 0 else self.gaps[:1]
            for j, gap in enumerate(gaps):
                run = partial(runs.steps, choice.epsilon, choice.steps, gap)
                metrics |= step_metrics(
                    f"{i}_{j}", stages.run(f"steps_{i}_{j}", run), choice.reference
                )
        return metrics

    def _marginals(self, stages: Stages, runs: Runs, floor: NDArray[Any]) -> Metrics:
        found = []
        for i, epsilon in enumerate(self.epsilons):
            run = partial(runs.marginals, epsilon, self.times, self.marginal_steps)
            found.append(stages.run(f"marginals_{i}", run))
        return marginal_metrics(found, floor)

    def _bounds(self, stages: Stages) -> Metrics:
        """Compare divergences with bounds, and with those of half the resolution."""
        metrics: Metrics = {}
        epsilons, floor = (0.0, *self.kl_epsilons), []
        for i, choice in enumerate(self.waves):
            wrong = self._wrong(choice.build())
            coarse = self._wrong(choice.build(), 2)
            errors = wrong.errors()
            kl = stages.run(f"kl_{i}", partial(wrong.divergences, epsilons))["kl"]
            half = stages.run(f"kl_coarse_{i}", partial(coarse.divergences, epsilons))["kl"]
            floor.append(np.abs(half / kl - 1).max())
            bounds = wrong.bounds(self.kl_epsilons, errors)
            metrics |= bound_metrics(str(i), kl, bounds, self.kl_epsilons, errors)
            sampled = wrong.sampled_errors(2000, self.seed)
            metrics[f"sampled_best_{i}"] = sampled.best_constant()
        ratios = [r for i in range(len(self.waves)) for r in metrics[f"bound_ratio_{i}"]]
        exact = self._wrong(Wave(0.0, 0.0, 0.0))
        none = stages.run("kl_exact", partial(exact.divergences, epsilons))["kl"]
        return metrics | {
            "bound_ratio_min": min(ratios),
            "bound_ratio_max": max(ratios),
            "kl_change_with_resolution": float(max(floor)),
            "kl_without_error": float(np.abs(none).max()),
        }

    def _wrong(self, wave: Wave, coarser: int = 1) -> WrongFields:
        cells, steps = self.cells // coarser, self.kl_steps // coarser
        return WrongFields(mixture_process(), wave, 12.0, cells, steps)

    def _ode(self, stages: Stages) -> Metrics:
        """Find divergences of velocity errors of one size, faster and faster."""
        process, rows, bounds = gaussian_process(), [], []
        for i, wavenumber in enumerate(self.ode_wavenumbers):
            wave = Wave(self.ode_error, 0.0, wavenumber)
            # twice the cells of the mixture on half of the line: the waves are fast
            wrong = WrongFields(process, wave, 6.0, 2 * self.cells, self.kl_steps)
            find = partial(wrong.divergences, (0.0, *self.ode_epsilons))
            rows.append(stages.run(f"ode_{i}", find)["kl"])
            bounds.append(wrong.bounds(self.ode_epsilons, wrong.errors())["tight"])
        kl = np.array(rows)
        return {
            "ode_kl": kl[:, 0].tolist(),
            "ode_sde_kl": kl[:, 1:].T.tolist(),
            "ode_sde_bound": np.array(bounds).T.tolist(),
            "ode_bound_ratio_min": float((np.array(bounds) / kl[:, 1:]).min()),
        }

    def _paths(self, stages: Stages, runs: Runs, i: int) -> NDArray[Any]:
        """Return paths ``(path_steps + 1, particles)`` from the same starts for all epsilon."""
        find = partial(runs.paths, self.epsilons[i], self.particles, self.path_steps)
        return stages.run(f"paths_{i}", find)["paths"]


def _shown(paths: Sequence[NDArray[Any]]) -> Arrays:
    """Return a few paths of each epsilon and all their ends, and the exact density."""
    times, points = torch.linspace(0, 1, 161, dtype=torch.float64), line(9.0, 300)
    density = [mixture_process().log_prob(points.unsqueeze(-1), t).exp() for t in times]
    arrays: Arrays = {"density": torch.stack(density).numpy(), "points": points.numpy()}
    for i, path in enumerate(paths):
        places = np.linspace(0, path.shape[1] - 1, _SHOWN_PATHS + 2)[1:-1]
        arrays |= {f"paths_{i}": path[:, places.round().astype(int)], f"ends_{i}": path[-1]}
    return arrays
