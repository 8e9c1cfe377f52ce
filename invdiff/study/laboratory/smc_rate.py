"""How the error of weighted particles falls with their number and grows with that of the score."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.study.laboratory.rate_problem import RateProblem, root_mean_square
from invdiff.study.sampling import SamplerConfig
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SMCRate"]

_PROBLEMS = {"gaussian": 1, "mixture": 2}
_WITH_EVIDENCE = ("afdps", "afdps-published")
_COLORS = {"default": "#b5482a", "published": "#2f6f9f"}
_GREY = "#98a2b3"


class SMCRate(ScriptedStudy):
    r"""Show both terms of the error bound :math:`C_1 \epsilon_{score} + C_2 / \sqrt N`.

    Args:
        dims: Numbers in x.
        measured: Numbers in y.
        noise_std: Of the measurements.
        counts: Numbers of particles.
        runs: Independent runs of each.
        evidence_count: Which of the counts the evidence is judged at.
        score_errors: Sizes of the error of the score, in inverse units of the prior's spread.
        score_count: Particles of each run with a wrong score.
        sampler: The default ensemble.
        published: The published system, with the split that converges.
    """

    kind: Literal["smc-rate"] = "smc-rate"
    dims: int = Field(4, ge=1)
    measured: int = Field(2, ge=1)
    noise_std: PositiveFloat = 0.5
    counts: tuple[PositiveInt, ...] = Field((64, 128, 256, 512, 1024, 2048, 4096), min_length=3)
    runs: int = Field(32, ge=4)
    evidence_count: PositiveInt = 256
    score_errors: tuple[float, ...] = Field((0.0, 0.1, 0.2, 0.3, 0.4, 0.5), min_length=3)
    score_count: PositiveInt = 2048
    sampler: SamplerConfig
    published: SamplerConfig

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        if self.evidence_count not in self.counts:
            raise ValueError(
                f"evidence_count: expected one of {self.counts}, got {self.evidence_count}"
            )
        for name in ("sampler", "published"):
            if getattr(self, name).kind not in _WITH_EVIDENCE:
                raise ValueError(f"{name}: expected a kind with an evidence, {_WITH_EVIDENCE}")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Run both samplers at every number of particles, and the first with wrong scores."""
        metrics: Metrics = {}
        arrays: Arrays = {"counts": np.array(self.counts), "errors": np.array(self.score_errors)}
        for problem in _PROBLEMS:
            for label in _COLORS:
                found = self._rates(stages, problem, label)
                suffix = f"{label}_{problem}"
                metrics |= {f"{name}_{suffix}": value for name, value in found[0].items()}
                arrays |= {f"{name}_{suffix}": value for name, value in found[1].items()}
        wrong = self._wrong_scores(stages)
        line = _line(arrays["errors"], wrong)
        metrics |= {
            "slope": metrics["slope_default_mixture"],
            "slope_published": metrics["slope_published_mixture"],
            "evidence_ratio": metrics["evidence_ratio_default_mixture"],
            "evidence_z": metrics["evidence_z_default_mixture"],
            "score_error_slope": line[0],
            "score_error_floor": line[1],
            "score_error_r2": line[2],
        }
        return Outcome(metrics, arrays | {"wrong": wrong})

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the error against either term, and the estimates of the evidence."""
        return {
            "error_and_particles": _rate_figure(metrics, arrays),
            "error_and_score": _score_figure(metrics, arrays),
            "evidence": _evidence_figure(arrays),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "error_and_particles": "Root mean square error of the posterior mean, in exact "
            f"standard deviations, over {self.runs} runs. Dashed: the rate of independent draws, "
            "through the middle of the default ensemble.",
            "error_and_score": "Error of the mean over all runs together, of the default ensemble "
            f"with {self.score_count} particles each, on the mixture. Line: least squares.",
            "evidence": f"Estimated over exact evidence of {self.runs} runs of "
            f"{self.evidence_count} particles. Dashed: the exact one. Lines: the means.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return one table: problem and sampler a row."""
        names = ("slope", "evidence_ratio", "evidence_z", "ess")
        rows = tuple(
            (problem, label, *(f"{metrics[f'{name}_{label}_{problem}']:.3f}" for name in names))
            for problem in _PROBLEMS
            for label in _COLORS
        )
        columns = ("problem", "sampler", "slope", "evidence ratio", "z", "lowest ESS")
        caption = (
            "Slope: of log error against log number of particles, -1/2 for independent draws. "
            f"Evidence ratio: mean of estimated over exact with {self.evidence_count} particles; "
            "z: its distance from 1 in standard errors. Lowest ESS: the effective sample size "
            "as a fraction, at the worst step, mean over the runs of most particles."
        )
        return [Table("Rate and evidence", columns, rows, caption)]

    def summary(self, metrics: Metrics) -> str:
        """Say how both terms of the bound come out."""
        return (
            f"With N particles the error of the mean falls as N to the {metrics['slope']:.2f} for "
            f"the default ensemble and {metrics['slope_published']:.2f} for the published system "
            "with the Langevin split. The evidence is estimated at "
            f"{metrics['evidence_ratio']:.3f} of the exact one, {metrics['evidence_z']:+.1f} "
            "standard errors from 1. With the error of the score the error of the mean grows along "
            f"a line of slope {metrics['score_error_slope']:.2f} "
            f"(R^2 = {metrics['score_error_r2']:.3f})."
        )

    def _rates(self, stages: Stages, problem: str, label: str) -> tuple[Metrics, Arrays]:
        instance, sampler = self._problem(problem), self._sampler(label)
        errors, sizes, ratios = [], 0.0, np.empty(0)
        for count in self.counts:
            run = partial(instance.errors, sampler, count, self.runs)
            stage = stages.run(f"{problem}_{label}_{count}", run)
            errors.append(root_mean_square(stage["offsets"]))
            sizes = float(stage["sizes"].mean())
            if count == self.evidence_count:
                ratios = np.exp(stage["log_ratios"])
        slope = float(np.polyfit(np.log(self.counts), np.log(errors), 1)[0])
        standard_error = ratios.std(ddof=1) / len(ratios) ** 0.5
        metrics = {
            "slope": slope,
            "evidence_ratio": float(ratios.mean()),
            "evidence_z": float((ratios.mean() - 1) / standard_error),
            "ess": sizes,
        }
        return metrics, {"rmse": np.array(errors), "ratios": ratios}

    def _wrong_scores(self, stages: Stages) -> NDArray[Any]:
        """Return the error of the mean over all runs for each size of the score's error."""
        instance, sampler = self._problem("mixture"), self._sampler("default")
        errors = []
        for i, error in enumerate(self.score_errors):
            run = partial(instance.errors, sampler, self.score_count, self.runs, error)
            offsets = stages.run(f"score_{i}", run)["offsets"]
            errors.append(root_mean_square(offsets.mean(0)))
        return np.array(errors)

    def _problem(self, problem: str) -> RateProblem:
        return RateProblem(_PROBLEMS[problem], self.dims, self.measured, self.noise_std, self.seed)

    def _sampler(self, label: str) -> Any:
        return (self.sampler if label == "default" else self.published).build()


def _line(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float, float]:
    """Return slope, intercept and R^2 of a straight line."""
    slope, intercept = np.polyfit(x, y, 1)
    rest = ((y - slope * x - intercept) ** 2).sum()
    return float(slope), float(intercept), float(1 - rest / ((y - y.mean()) ** 2).sum())


def _rate_figure(metrics: Metrics, arrays: Arrays) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.subplots(1, len(_PROBLEMS), sharey=True)
    counts = arrays["counts"]
    for axis, problem in zip(axes, _PROBLEMS, strict=True):
        for label, color in _COLORS.items():
            slope = metrics[f"slope_{label}_{problem}"]
            errors = arrays[f"rmse_{label}_{problem}"]
            axis.loglog(counts, errors, "o-", color=color, label=f"{label}, slope {slope:.2f}")
        errors = arrays[f"rmse_default_{problem}"]
        middle = np.exp(np.log(errors * counts**0.5).mean())
        axis.loglog(counts, middle * counts**-0.5, "--", color=_GREY, label="slope -1/2")
        axis.set(xlabel="particles", title=problem)
        axis.legend(fontsize=8)
    axes[0].set_ylabel("error of the mean / sd")
    return figure


def _score_figure(metrics: Metrics, arrays: Arrays) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axis = figure.subplots()
    x = arrays["errors"]
    line = metrics["score_error_floor"] + metrics["score_error_slope"] * x
    axis.plot(x, line, color=_GREY, label=f"$R^2$ = {metrics['score_error_r2']:.4f}")
    axis.plot(x, arrays["wrong"], "o", color=_COLORS["default"])
    axis.set(xlabel="error of the score x spread of the prior", ylabel="error of the mean / sd")
    axis.legend(fontsize=8)
    return figure


def _evidence_figure(arrays: Arrays) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    axes = figure.subplots(1, len(_PROBLEMS), sharey=True)
    for axis, problem in zip(axes, _PROBLEMS, strict=True):
        ratios = {label: arrays[f"ratios_{label}_{problem}"] for label in _COLORS}
        edges = np.histogram_bin_edges(np.concatenate(list(ratios.values())), 16)
        for label, color in _COLORS.items():
            axis.hist(ratios[label], edges, color=color, alpha=0.5, label=label)
            axis.axvline(ratios[label].mean(), color=color)
        axis.axvline(1, color="black", linestyle="--")
        axis.set(xlabel="estimated / exact evidence", title=problem)
        axis.legend(fontsize=8)
    axes[0].set_ylabel("runs")
    return figure
