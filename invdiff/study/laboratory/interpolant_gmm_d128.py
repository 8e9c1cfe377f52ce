"""How much noise an SDE of learned fields should have, in 128 dimensions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.interpolants.diffusion import ConstantEpsilon, Epsilon
from invdiff.interpolants.kl_bounds import FieldErrors
from invdiff.study.laboratory.interpolant_gmm_d128_figures import (
    error_figure,
    kl_figure,
    loss_figure,
    sample_figure,
)
from invdiff.study.laboratory.interpolant_gmm_d128_problem import HighDimProblem
from invdiff.study.laboratory.interpolant_gmm_d128_runs import HighDimRuns
from invdiff.study.laboratory.interpolant_gmm_d128_scores import (
    best_metrics,
    error_metrics,
    kl_table,
    sampler_metrics,
)
from invdiff.study.laboratory.interpolant_gmm_d128_training import (
    FIELDS,
    FieldTraining,
    HighDimFields,
)
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["InterpolantHighDim"]


class InterpolantHighDim(ScriptedStudy):
    r"""Show :math:`KL(\rho_1 \| \hat\rho_1)` against epsilon, and where theory puts its minimum.

    Args:
        dim: Numbers in x.
        modes: Of the target.
        training: Of both networks.
        epsilons: Of the SDEs, increasing.
        shown: Those of which samples are drawn in the figure.
        num_steps: Of each solver.
        num_points: Samples of the truth at which densities are found.
        num_paths: Backward paths from each of them.
        num_samples: Of each sampler.
        error_times: Times at which the fields are compared with the exact ones.
        error_samples: At each time.
    """

    kind: Literal["interpolant-gmm-d128"] = "interpolant-gmm-d128"
    dim: int = Field(128, ge=2)
    modes: int = Field(5, ge=2)
    training: FieldTraining = FieldTraining()
    epsilons: tuple[PositiveFloat, ...] = Field(
        (0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5, 4.0, 6.0, 10.0), min_length=3
    )
    shown: tuple[PositiveFloat, ...] = Field((0.1, 1.0, 10.0), min_length=1)
    num_steps: PositiveInt = 100
    num_points: int = Field(64, ge=2)
    num_paths: PositiveInt = 16
    num_samples: PositiveInt = 2500
    error_times: int = Field(31, ge=2)
    error_samples: PositiveInt = 500

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.epsilons) != sorted(set(self.epsilons)):
            raise ValueError(f"epsilons: expected increasing numbers, got {self.epsilons}")
        if not set(self.shown) <= set(self.epsilons):
            raise ValueError(f"shown: expected some of the epsilons, got {self.shown}")
        least = 2 * self.modes * (self.dim + 3)
        if self.num_samples < least:
            raise ValueError(
                f"num_samples: expected at least {least}, for moments in each mode, got "
                f"{self.num_samples}"
            )
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Train, measure the errors of the fields, and sample with each epsilon."""
        problem = HighDimProblem(self.dim, self.modes, self.seed)
        fields = HighDimFields(problem, self.training, self.seed)
        trained = {
            name: stages.run(f"training_{name}", partial(fields.train, name)) for name in FIELDS
        }
        runs = HighDimRuns(
            problem,
            fields.process(trained),
            self.num_steps,
            self.num_points,
            self.num_paths,
            self.num_samples,
            self.seed,
        )
        errors = stages.run(
            "errors", partial(runs.error_arrays, self.error_times, self.error_samples)
        )
        losses: Arrays = {f"loss_{name}": trained[name]["loss"] for name in FIELDS}
        metrics, arrays = self._samplers(stages, runs, errors)
        metrics["training_seconds"] = sum(float(trained[name]["seconds"]) for name in FIELDS)
        return Outcome(metrics, arrays | losses)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw divergences, samples, errors and losses."""
        problem = HighDimProblem(self.dim, self.modes, self.seed)
        shown = {"ODE": arrays["shown_ode"]} | {
            rf"$\epsilon$ = {e:g}": arrays[f"shown_{e:g}"] for e in self.shown
        }
        return {
            "divergence": kl_figure(metrics, self.epsilons),
            "samples": sample_figure(shown, problem.shown_target),
            "errors": error_figure(metrics, arrays),
            "losses": loss_figure(arrays, FIELDS),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "divergence": "Divergence of the truth from what is sampled. Left: from the sampled "
            f"density at {self.num_points} true samples, for the SDE by {self.num_paths} backward "
            f"paths, a bound from above; and from the moments of {self.num_samples} samples, which "
            "see less. Bars: standard errors; most of them is common to all epsilon. Vertical "
            "lines: the best epsilon on the grid, and the one that the errors of the fields "
            "predict. Right: the same, with one path, and what bounds it in theory.",
            "samples": "Samples in the two directions in which the modes differ most. Contours "
            "hold 50, 90 and 99 % of the exact probability.",
            "errors": "Left: mean square errors of the fields, summed over the entries of x, over "
            "the true law. Right: the epsilon that minimises the bounds at each time; dashed: the "
            "best constant.",
            "losses": "Loss per entry of x, means over fiftieths of the training; dashed: the "
            "least that there is, from the exact fields.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return one table, a sampler a row."""
        return [kl_table(metrics, self.epsilons)]

    def summary(self, metrics: Metrics) -> str:
        """Say which epsilon is best, and which was predicted."""
        best = metrics["kl_paths"][self.epsilons.index(metrics["best_paths"])]
        rises = " and ".join(
            f"{metrics[f'rise_{end}_paths']:.2f} +- {metrics[f'rise_{end}_paths_se']:.2f} {where}"
            for end, where in (("ode", "for the ODE"), ("last", f"at {self.epsilons[-1]:g}"))
        )
        return (
            f"In {self.dim} dimensions the divergence of the truth from what is sampled is least "
            f"at epsilon = {metrics['best_paths']:g}: at most {best:.2f} nats, and higher by "
            f"{rises}. The errors of the fields predict {metrics['predicted_epsilon']:.2f}, and "
            f"bound the divergence by {min(metrics['drift_bound']):.2f} nats on the grid. The "
            f"moments of the samples alone say {min(metrics['kl_moments']):.2f} at "
            f"{metrics['best_moments']:g} and {metrics['ode_moments']:.2f} for the ODE; from there "
            f"they rise by {metrics['rise_last_moments']:.2f} +- "
            f"{metrics['rise_last_moments_se']:.2f} to {self.epsilons[-1]:g}, so that much of the "
            "rise of the density at large epsilon is that of a bound. epsilon(t), the best at each "
            f"time, has {metrics['schedule_kl_paths'][0]:.2f}."
        )

    def _samplers(
        self, stages: Stages, runs: HighDimRuns, errors: Arrays
    ) -> tuple[Metrics, Arrays]:
        found = FieldErrors(
            *(torch.from_numpy(errors[n]) for n in ("times", "velocity", "score", "cross"))
        )
        amounts: dict[str, Epsilon] = {f"{e:g}": ConstantEpsilon(e) for e in self.epsilons}
        amounts["schedule"] = found.best_schedule()
        rows = {
            name: stages.run(f"density_{name}", partial(runs.densities, epsilon))
            | stages.run(f"samples_{name}", partial(runs.samples, epsilon))
            for name, epsilon in amounts.items()
        }
        ode = stages.run("density_ode", runs.ode_densities)
        ode |= stages.run("samples_ode", partial(runs.samples, None))
        arrays = {f"shown_{name}": row["shown"] for name, row in (rows | {"ode": ode}).items()}
        schedule = rows.pop("schedule")
        constant = list(rows.values())
        metrics = sampler_metrics(constant) | error_metrics(found, self.epsilons)
        metrics |= {
            f"schedule_{name}": value for name, value in sampler_metrics([schedule]).items()
        }
        metrics |= best_metrics(self.epsilons, constant, ode)
        for name in ("paths", "moments"):
            metrics[f"ode_{name}"] = float(ode[name].mean())
            metrics[f"ode_{name}_se"] = float(ode[name].std(ddof=1) / len(ode[name]) ** 0.5)
        return metrics, arrays | errors | {"dim": np.asarray(self.dim)}
