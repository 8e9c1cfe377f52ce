"""Whose samples are the posterior's, where it is known: inpainting of Gaussian pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import Field, PositiveFloat

from invdiff.samplers import Samples
from invdiff.study.base import Config
from invdiff.study.laboratory.deepinv_peers import DeepinvColumn, is_installed
from invdiff.study.laboratory.gaussian_problem import REGIONS, GaussianProblem
from invdiff.study.sampling import SamplerConfig
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages
from invdiff.theory import mean_error_floor, mean_error_in_sd, std_ratio
from invdiff.theory.plots import coverage_plot, qq_plot
from invdiff.uncertainty import coverage_curve, weighted_quantiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GaussianCalibration"]

_PROBABILITIES = np.concatenate([[0.002, 0.005], np.linspace(0.01, 0.99, 50), [0.995, 0.998]])
_LEVELS = np.linspace(0.05, 0.95, 19)
_EXACT = "exact"

_Item = TypeVar("_Item")


class GaussianPriorConfig(Config):
    """Independent pixels N(mean, std^2).

    Args:
        mean: Of each pixel.
        std: Of each pixel.
    """

    mean: float = 0.5
    std: PositiveFloat = 0.2


class GaussianCalibration(ScriptedStudy):
    """Compare samplers with an exact Gaussian posterior, given the exact denoiser.

    Args:
        prior: Of the image.
        size: Rows and columns.
        keep: Probability that a pixel is observed.
        sigma: Standard deviation of the noise.
        num_samples: Chains, or particles, of each sampler.
        samplers: Kinds with their options.
        deepinv: Samplers of deepinv for comparison, left out where it isn't installed.
    """

    kind: Literal["gaussian-calibration"] = "gaussian-calibration"
    prior: GaussianPriorConfig = GaussianPriorConfig()
    size: int = Field(16, ge=2)
    keep: float = Field(0.5, gt=0, lt=1)
    sigma: PositiveFloat = 0.1
    num_samples: int = Field(128, ge=2)
    samplers: tuple[SamplerConfig, ...] = Field(min_length=1)
    deepinv: tuple[DeepinvColumn, ...] = ()

    def compute(self, stages: Stages) -> Outcome:
        """Run every sampler on the one problem, and compare."""
        problem = GaussianProblem(
            self.prior.mean,
            self.prior.std,
            self.size,
            self.keep,
            self.sigma,
            self.seed,
            self.device,
        )
        counts = {f"{name}_pixels": int(mask.sum()) for name, mask in problem.regions().items()}
        metrics: Metrics = counts | {"mean_err_floor": self.num_samples**-0.5}
        arrays: Arrays = {"probabilities": _PROBABILITIES, "levels": _LEVELS}
        for label, run in self._runs(problem).items():
            key = _key(label)
            stage = stages.run(key, run)
            values, log_weights = (torch.from_numpy(stage[k]) for k in ("values", "log_weights"))
            samples = Samples(values, log_weights)
            metrics |= _scores(key, samples, problem) | {f"seconds_{key}": float(stage["seconds"])}
            arrays |= _curves(key, samples, problem)
        return Outcome(metrics, arrays)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw quantiles and coverage of each sampler."""
        lines = {
            name: {
                label: {f"{r} pixels": arrays[f"{name}_{_key(label)}_{r}"] for r in REGIONS}
                for label in self._found(metrics)
            }
            for name in ("quantiles", "coverage")
        }
        exact = torch.special.ndtri(torch.from_numpy(arrays["probabilities"])).numpy()
        count = min(metrics[f"{region}_pixels"] for region in REGIONS)
        return {
            "quantiles": qq_plot(exact, lines["quantiles"], "posterior sd"),
            "coverage": coverage_plot(arrays["levels"], lines["coverage"], count),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "quantiles": "All samples of all pixels, less the exact posterior mean and over the "
            "exact standard deviation, against the normal distribution that they should have. "
            "Steeper than the dashed line: too wide; flatter: too narrow.",
            "coverage": "How many pixels of the true image lie in the central credible interval "
            "of the samples. Below the dashed line: overconfident. Grey: where 99 % of calibrated "
            "samplers would be at each point. A sampler that leaves the data half unused can be "
            "on the line too: the table shows it.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return one table: a sampler a row."""
        columns = [
            *(f"{what}, {region}" for what in ("std ratio", "mean error") for region in REGIONS),
            "floor",
            "seconds",
        ]
        keys = [
            *(f"{what}_{{}}_{r}" for what in ("std_ratio", "mean_err") for r in REGIONS),
            "mean_err_floor_{}",
        ]
        rows = tuple(
            (
                label,
                *(f"{metrics[key.format(_key(label))]:.3f}" for key in keys),
                f"{metrics[f'seconds_{_key(label)}']:.1f}",
            )
            for label in self._found(metrics)
        )
        caption = (
            "std ratio: sampled over exact standard deviation, mean over pixels. Mean error: of "
            "the sampled mean in exact standard deviations, root mean square over pixels; "
            "independent exact samples reach the floor. "
            "The row exact holds draws from the posterior itself. Seconds: one run, all samples."
        )
        return [Table("Samples against the exact posterior", ("sampler", *columns), rows, caption)]

    def summary(self, metrics: Metrics) -> str:
        """Name the samplers that are right, and how far off the others are."""
        labels = [label for label in self._found(metrics) if label != _EXACT]
        right = [label for label in labels if _is_right(metrics, _key(label))]
        ratios = {label: metrics[f"std_ratio_{_key(label)}"] for label in labels}
        worst = max(ratios, key=lambda label: _off(ratios[label]))
        text = (
            f"{len(right)} of {len(labels)} samplers are within 5 % of the exact standard "
            "deviation and twice the Monte Carlo floor of the mean, in observed and in unobserved "
            f"pixels{': ' + ', '.join(right) if right else ''}. The worst ratio of standard "
            f"deviations is {ratios[worst]:.2f} ({worst})."
        )
        if self.deepinv and not any(label.startswith("deepinv ") for label in labels):
            text += " deepinv was not installed: its columns are missing."
        return text

    def _runs(self, problem: GaussianProblem) -> dict[str, Callable[[], Arrays]]:
        """Return what computes the samples of each label."""
        count = self.num_samples
        runs: dict[str, Callable[[], Arrays]] = {_EXACT: partial(problem.exact_samples, count)}
        for label, sampler in self._labels():
            runs[label] = partial(problem.samples, sampler.build(), count, label)
        if is_installed():
            for label, column in self._peers():
                runs[label] = partial(problem.peer_samples, column, count, label)
        return runs

    def _found(self, metrics: Metrics) -> list[str]:
        names = [_EXACT, *(label for label, _ in [*self._labels(), *self._peers()])]
        return [label for label in names if f"std_ratio_{_key(label)}" in metrics]

    def _labels(self) -> Iterator[tuple[str, Any]]:
        return _numbered((sampler.kind, sampler) for sampler in self.samplers)

    def _peers(self) -> Iterator[tuple[str, DeepinvColumn]]:
        return _numbered((f"deepinv {column.method}", column) for column in self.deepinv)


def _scores(key: str, samples: Samples, problem: GaussianProblem) -> Metrics:
    """Compare the moments in either region, and keep the worse one under the plain key."""
    metrics: Metrics = {}
    for region, mask in problem.regions().items():
        metrics[f"std_ratio_{key}_{region}"] = std_ratio(samples, problem.std, mask)
        error = mean_error_in_sd(samples, problem.mean, problem.std, mask)
        metrics[f"mean_err_{key}_{region}"] = error
    metrics[f"std_ratio_{key}"] = max((metrics[f"std_ratio_{key}_{r}"] for r in REGIONS), key=_off)
    metrics[f"mean_err_{key}"] = max(metrics[f"mean_err_{key}_{r}"] for r in REGIONS)
    metrics[f"mean_err_floor_{key}"] = mean_error_floor(samples)
    return metrics


def _curves(key: str, samples: Samples, problem: GaussianProblem) -> Arrays:
    """Return the quantiles of all standardised samples, and the coverage of the truth."""
    standard = (samples.values - problem.mean) / problem.std
    arrays: Arrays = {}
    for region, mask in problem.regions().items():
        pooled = standard[:, mask]
        log_weights = samples.log_weights.unsqueeze(1).expand_as(pooled)
        ensemble = pooled.flatten(), log_weights.flatten()
        quantiles = weighted_quantiles(ensemble, _PROBABILITIES.tolist())
        covered = coverage_curve(samples, problem.truth.cpu(), _LEVELS.tolist(), mask)
        arrays[f"quantiles_{key}_{region}"] = quantiles.numpy()
        arrays[f"coverage_{key}_{region}"] = covered.numpy()
    return arrays


def _numbered(items: Iterable[tuple[str, _Item]]) -> Iterator[tuple[str, _Item]]:
    """Number the second and later items of one name."""
    seen: dict[str, int] = {}
    for name, item in items:
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name} {seen[name]}"), item


def _key(label: str) -> str:
    return label.replace("-", "_").replace(" ", "_")


def _off(ratio: float) -> float:
    """Return how many times a ratio is off 1, either way."""
    return abs(math.log(max(ratio, 1e-300)))


def _is_right(metrics: Metrics, key: str) -> bool:
    close = _off(metrics[f"std_ratio_{key}"]) < math.log(1.05)
    return bool(close and metrics[f"mean_err_{key}"] < 2 * metrics["mean_err_floor"])
