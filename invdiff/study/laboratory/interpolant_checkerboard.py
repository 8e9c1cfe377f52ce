"""Learn the process from normal noise to a checkerboard, and measure what comes out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator
from torch import Tensor, nn

from invdiff.interpolants.couplings import IndependentCoupling
from invdiff.interpolants.field_folder import save_field
from invdiff.interpolants.fit import train_field
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.networks import FieldMLP
from invdiff.interpolants.process import FieldProcess
from invdiff.interpolants.skip import GaussianSkip
from invdiff.rng import derive_generator
from invdiff.study.laboratory import interpolant_checkerboard_figures as figures
from invdiff.study.laboratory.interpolant_checkerboard_comparison import DensityComparison
from invdiff.study.laboratory.interpolant_checkerboard_densities import ode_log_density
from invdiff.study.laboratory.interpolant_checkerboard_law import Checkerboard, CheckerboardProcess
from invdiff.study.laboratory.interpolant_checkerboard_report import (
    captions,
    path_table,
    sample_table,
    summary_text,
)
from invdiff.study.laboratory.interpolant_checkerboard_runs import (
    SdeRun,
    ode_samples,
    paths_of,
    sde_samples,
)
from invdiff.study.laboratory.interpolant_checkerboard_scores import (
    divergence_bound,
    likelihood_metrics,
    sample_scores,
    velocity_errors,
)
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages
from invdiff.study.stored_weights import restore_weights, stored_weights
from invdiff.training import Training, TrainingStep, drawn_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["InterpolantCheckerboard"]

# points and times of the error of the velocity; points and times of the film
_NUM_ERRORS, _NUM_ERROR_TIMES = 2000, 40
_NUM_SHOWN, _NUM_SHOWN_TIMES = 2000, 33
# the matched scale of the smallest bound; chosen by theory, not by its results
_MAIN = 1.0


class InterpolantCheckerboard(ScriptedStudy):
    """Train a velocity from noise to a checkerboard; compare its ODE and its SDEs with the truth.

    Args:
        width: Of the network.
        depth: Hidden layers.
        input_frequencies: Waves of each coordinate that the network is told.
        num_steps: Of the training.
        batch_size: Pairs of each step, each with two signs of the noise.
        learning_rate: Its highest value.
        ema_decay: Of the averaged weights.
        num_heldout: True points whose likelihood is computed.
        density_points: Along each axis of the picture of the density.
        num_samples: Drawn by the ODE and by each SDE.
        ode_steps: Of Heun's method, two network calls each.
        sde_steps: Of the Euler-Maruyama method.
        end: Where the SDEs end and densities are compared, below 1.
        constants: Amounts of noise epsilon that stay the same.
        scales: Factors c of epsilon = c (1 - t) / t; with c = 1, the main one, whose bound is
            the smallest.
        num_points: Drawn from the truth at the end, where densities are compared.
        num_paths: That the density of an SDE is found with, at each point.
        path_counts: Further ones, tried with the main SDE.
        bins: Of the divergence, along each axis of a square.
        smoothing: Standard deviation of the noise that makes the true log density finite.
    """

    kind: Literal["interpolant-checkerboard"] = "interpolant-checkerboard"
    width: PositiveInt = 256
    depth: PositiveInt = 4
    input_frequencies: int = Field(8, ge=0)
    num_steps: PositiveInt = 3000
    batch_size: PositiveInt = 1000
    learning_rate: PositiveFloat = 2e-3
    ema_decay: float = Field(0.99, ge=0, lt=1)
    num_heldout: int = Field(4000, ge=2)
    density_points: int = Field(80, ge=2)
    num_samples: PositiveInt = 30_000
    ode_steps: PositiveInt = 50
    sde_steps: PositiveInt = 100
    end: float = Field(0.99, gt=0, lt=1)
    constants: tuple[PositiveFloat, ...] = (0.1, 0.3, 1.0)
    scales: tuple[PositiveFloat, ...] = (0.3, 1.0, 3.0)
    num_points: int = Field(2000, ge=2)
    num_paths: PositiveInt = 32
    path_counts: tuple[PositiveInt, ...] = (8, 128)
    bins: PositiveInt = 8
    smoothing: PositiveFloat = 0.1

    @field_validator("constants", "scales")
    @classmethod
    def _check_scales(cls, value: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError(f"expected increasing numbers, got {value}")
        if info.field_name == "scales" and _MAIN not in value:
            raise ValueError(f"expected {_MAIN:g} among scales, got {value}")
        return value

    def compute(self, stages: Stages) -> Outcome:
        """Train, then compute likelihoods, draw samples and compare."""
        law = Checkerboard()
        trained = stages.run("training", self._train)
        network = self._network(trained)
        process = FieldProcess(OneSided(), b=network)
        likelihood = stages.run("likelihood", partial(self._likelihood, process))
        metrics = likelihood_metrics(law, likelihood, self.smoothing)
        metrics |= {
            "num_parameters": sum(p.numel() for p in network.parameters()),
            "training_seconds": float(trained["seconds"]),
            "loss_last": float(trained["loss"][-max(1, self.num_steps // 20) :].mean()),
        }
        metrics |= self._scores("true", law.draw(self.num_samples, self._generator("true")))
        for name, run in {"ode": None, **self._runs()}.items():
            metrics |= self._stage(stages, name, partial(self._samples, process, run))
        errors = stages.run("errors", partial(self._errors, process))
        times = torch.from_numpy(errors["error_times"])
        for name, run in self._runs().items():
            bound = divergence_bound(torch.from_numpy(errors["errors"]), times, run.epsilon())
            metrics[f"bound_{name}"] = bound
        comparison = self._comparison(process)
        compared = comparison.arrays(stages, self.ode_steps, self.end)
        metrics |= comparison.metrics(compared)
        shown = stages.run("paths", partial(self._paths, process))
        arrays = {"loss": trained["loss"], **likelihood, **errors, **shown, **compared}
        arrays.pop("seconds")
        film = {name: shown[f"path_{name}"] for name in ("ode", "sde")}
        info = {"title": self.title, "training": self.model_dump(mode="json")}
        return Outcome(metrics, arrays, folders={
            "field": partial(
                save_field, network=network, interpolant=OneSided(), objective="b", info=info
            ),
            "film": partial(figures.write_film, path=film, half_width=law.half_width),
        })  # fmt: skip

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the ways of points, the density, divergences and the loss."""
        law = Checkerboard()
        return {
            "paths": figures.paths(arrays, law.half_width),
            "density": figures.density(arrays, law.entropy),
            "divergence": figures.divergences(metrics, self._runs()),
            "loss": figures.loss(arrays),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return captions(_NUM_SHOWN, self.end, self.num_points, self.num_paths)

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return what is known of each way to draw samples, and of the number of paths."""
        caption = (
            f"KL: of the truth from what is sampled. At t = {self.end:g}: by densities, with the "
            "standard error of the mean, or of the mean difference to the ODE; too high for the "
            f"SDEs by what {self.num_paths} paths leave. On a grid: {self.num_samples} samples on "
            f"{8 * self.bins**2} equal parts of the support at t = 1. Log density: mean over the "
            f"samples of that of the truth plus normal noise of standard deviation "
            f"{self.smoothing:g}, {metrics['log_density_exact']:.3f} for true samples in closed "
            "form. Bound: of KL, in exact integration."
        )
        ode = f"Heun, {self.ode_steps} steps"
        return [
            sample_table(metrics, self._runs(), ode, caption),
            path_table(metrics, self._counts()),
        ]

    def summary(self, metrics: Metrics) -> str:
        """Say how good the likelihood is, and whether noise helps."""
        return summary_text(metrics, self._runs(), self._main().key)

    def _run(self, schedule: Literal["constant", "matched"], scale: float) -> SdeRun:
        return SdeRun(schedule, scale, self.sde_steps, self.end)

    def _main(self) -> SdeRun:
        return self._run("matched", _MAIN)

    def _counts(self) -> list[int]:
        """Return the numbers of paths that the main SDE is weighed with."""
        return sorted({self.num_paths, *self.path_counts})

    def _runs(self) -> dict[str, SdeRun]:
        """Return the SDEs by name."""
        runs = [self._run("constant", value) for value in self.constants]
        runs += [self._run("matched", scale) for scale in self.scales]
        return {run.key: run for run in runs}

    def _build(self) -> nn.Module:
        network = FieldMLP(2, self.width, self.depth, input_frequencies=self.input_frequencies)
        return GaussianSkip(network, OneSided(), "b", target_std=Checkerboard().std)

    def _train(self) -> Arrays:
        generator, losses = self._generator("training"), list[Tensor]()

        def note(step: TrainingStep) -> None:
            losses.append(step.loss)

        training = Training(
            num_steps=self.num_steps,
            learning_rate=self.learning_rate,
            num_warmup=min(200, self.num_steps // 10),
            weight_decay=0.0,
            ema_decay=self.ema_decay,
            dtype=torch.float32,
        )
        network = train_field(
            drawn_network(self._build, generator=generator),
            "b",
            OneSided(),
            IndependentCoupling(Checkerboard().draw),
            training,
            batch_size=self.batch_size,
            generator=generator,
            callback=note,
        )
        return stored_weights(network) | {"loss": torch.stack(losses).cpu().numpy()}

    def _network(self, trained: Arrays) -> nn.Module:
        network = drawn_network(self._build, generator=self._generator("unused"))
        restore_weights(network, trained)
        return network.requires_grad_(False)

    def _likelihood(self, process: FieldProcess) -> Arrays:
        law = Checkerboard()
        true = law.draw(self.num_heldout, self._generator("heldout"))
        # wide enough for nearly all of the mass
        end = 1.25 * law.half_width
        axis = torch.linspace(-end, end, self.density_points, device=self.device)
        picture = ode_log_density(process, torch.cartesian_prod(axis, axis), self.ode_steps)
        return {
            "log_prob": ode_log_density(process, true, self.ode_steps).cpu().numpy(),
            "log_density": picture.reshape(len(axis), -1).cpu().numpy(),
            "density_axis": axis.cpu().numpy(),
        }

    def _stage(self, stages: Stages, name: str, compute: partial[Tensor]) -> Metrics:
        def scored() -> Arrays:
            return {key: np.asarray(v) for key, v in self._scores(name, compute()).items()}

        found = stages.run(f"samples_{name}", scored)
        return {f"seconds_{name}" if key == "seconds" else key: float(found[key]) for key in found}

    def _scores(self, name: str, x: Tensor) -> Metrics:
        found = sample_scores(Checkerboard(), x, self.bins, self.smoothing)
        return {score.format(name): value for score, value in found.items()}

    def _samples(self, process: FieldProcess, run: SdeRun | None) -> Tensor:
        start = self._noise("start", self.num_samples)
        if run is None:
            return ode_samples(process, start, self.ode_steps)
        return sde_samples(process, start, run, generator=self._generator("increments"))

    def _comparison(self, process: FieldProcess) -> DensityComparison:
        exact, end = CheckerboardProcess(Checkerboard()), torch.tensor(self.end).double()
        points = exact.draw(end, self.num_points, self._generator("points"))
        return DensityComparison(
            process, points, exact.log_prob(points, end), self._runs(), self._main().key,
            self.num_paths, self._counts(), partial(self._generator, "weights"),
        )  # fmt: skip

    def _errors(self, process: FieldProcess) -> Arrays:
        times = (torch.arange(_NUM_ERROR_TIMES, dtype=torch.float64) + 0.5) / _NUM_ERROR_TIMES
        exact = CheckerboardProcess(Checkerboard())
        errors = velocity_errors(
            process, exact, times, _NUM_ERRORS, generator=self._generator("errors")
        )
        return {"error_times": times.numpy(), "errors": errors.numpy()}

    def _paths(self, process: FieldProcess) -> Arrays:
        start, found = self._noise("shown", _NUM_SHOWN), Arrays()
        runs: dict[str, SdeRun | int] = {"ode": self.ode_steps, "sde": self._main()}
        for name, run in runs.items():
            points, times = paths_of(
                process, start, run, _NUM_SHOWN_TIMES, generator=self._generator("shown_noise")
            )
            found |= {f"path_{name}": points, "path_times": times}
        return found

    def _noise(self, label: str, count: int) -> Tensor:
        return torch.randn(count, 2, generator=self._generator(label), device=self.device)

    def _generator(self, label: str) -> torch.Generator:
        return derive_generator(self.seed, label, device=self.device)
