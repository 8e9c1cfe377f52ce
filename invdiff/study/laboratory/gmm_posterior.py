"""How close samplers come to the exact posterior of a mixture of 25 Gaussians."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from invdiff.study.base import Config
from invdiff.study.laboratory.mixture_figures import cloud_figure, ratio_figure
from invdiff.study.laboratory.mixture_runs import NUM_SAMPLES, Setting
from invdiff.study.sampling import SamplerConfig
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from invdiff.study.stages import Stages

__all__ = ["GMMPosterior", "MixtureColumn"]


class MixtureColumn(Config):
    """A sampler and its number of samples.

    Args:
        sampler: With its options; ``sigma_max`` is for 8 dimensions and grows with their root.
        num_samples: Samples or particles, of which 1000 are drawn by their weights; one number,
            or one for each number of dimensions that the sampler is to run in.
    """

    sampler: SamplerConfig
    num_samples: PositiveInt | dict[int, PositiveInt] = NUM_SAMPLES

    @model_validator(mode="after")
    def _check(self) -> Self:
        counts = self.num_samples
        if min(counts.values() if isinstance(counts, dict) else [counts]) < NUM_SAMPLES:
            raise ValueError(f"num_samples: at least {NUM_SAMPLES} are compared, got {counts}")
        return self

    def count(self, num_dims: int) -> int | None:
        """Return how many samples; None where the sampler does not run."""
        if isinstance(self.num_samples, dict):
            return self.num_samples.get(num_dims)
        return self.num_samples


class GMMPosterior(ScriptedStudy):
    """The mixture benchmark of MCGdiff.

    Args:
        instances: Random problems of each setting.
        dims: Numbers in x.
        measured: Numbers in y.
        samplers: What to compare; kinds must differ.
        single_from: From so many dimensions on samplers run in float32, which takes half the time.
    """

    kind: Literal["gmm-posterior"] = "gmm-posterior"
    instances: int = Field(20, ge=1)
    dims: tuple[int, ...] = Field((8, 80, 800), min_length=1)
    measured: tuple[int, ...] = Field((1, 2, 4), min_length=1)
    samplers: tuple[MixtureColumn, ...] = Field(min_length=1)
    single_from: PositiveInt = 800

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = [column.sampler.kind for column in self.samplers]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"samplers: each kind at most once, got {kinds}")
        if any(n < 2 or n % 2 for n in self.dims):
            raise ValueError(f"dims: expected even numbers, got {self.dims}")
        if not all(1 <= m <= min(self.dims) for m in self.measured):
            raise ValueError(
                f"measured: expected 1 to {min(self.dims)} numbers, got {self.measured}"
            )
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Measure exact samples, then each sampler, setting by setting."""
        metrics: Metrics = {}
        arrays: Arrays = {}
        for setting in self._settings():
            exact = stages.run(f"floor_{setting.key}", setting.floors)
            metrics[f"floor_max_sw2_{setting.key}"] = float(exact["distances"].mean())
            arrays[f"cloud_exact_{setting.key}"] = exact["cloud"]
            for name, column in self._columns():
                count = column.count(setting.num_dims)
                if count is None:
                    continue
                key = f"{name}_{setting.key}"
                run = partial(setting.run, column.sampler.build(), count, name)
                found = stages.run(key, run)
                ratios = found["distances"] / exact["distances"]
                metrics |= _scores(key, found, ratios)
                arrays |= {f"ratios_{key}": ratios, f"cloud_{key}": found["cloud"]}
        return Outcome(metrics, arrays)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the ratios of all instances, and one instance of each dimension."""
        settings = [setting.key for setting in self._settings()]
        names = [name for name, _ in self._columns()]
        figures = {"ratios": ratio_figure(arrays, settings, names)}
        last = [f"{dims}_{self.measured[0]}" for dims in self.dims]
        figures["clouds"] = cloud_figure(arrays, last, names)
        return figures

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "ratios": "Max-sliced W2 of 1000 samples to 10,000 exact ones over that of 1000 exact "
            "samples. A point an instance, a bar their median. At the dashed line samples are as "
            "good as exact ones.",
            "clouds": "The first two coordinates of 1000 samples of the first instance, over "
            "as many exact ones (grey).",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return one table for each sampler: a setting a row."""
        columns = ("dx", "dy", "max-SW2", "exact", "median ratio", "worst ratio", "minimum ESS")
        caption = (
            "max-SW2: the largest W2 of 1000 samples to 10,000 exact ones along 100 random "
            "directions, mean over the instances; exact: the same of 1000 exact samples, mean of "
            "four draws. Ratio: instance by instance. ESS: the lowest of any step and instance, "
            "as a share of the particles."
        )
        return [
            Table(
                f"Distance to the exact posterior: {column.sampler.kind}",
                columns,
                tuple(
                    _row(metrics, name, setting)
                    for setting in self._settings()
                    if column.count(setting.num_dims) is not None
                ),
                caption,
            )
            for name, column in self._columns()
        ]

    def summary(self, metrics: Metrics) -> str:
        """Say how close each sampler came."""
        parts = []
        for name, column in self._columns():
            keys = [
                f"{name}_{s.key}" for s in self._settings() if column.count(s.num_dims) is not None
            ]
            if keys:
                highest = max(metrics[f"ratio_{key}"] for key in keys)
                worst = max(metrics[f"worst_ratio_{key}"] for key in keys)
                parts.append(
                    f"{column.sampler.kind}: the median distance is at most {highest:.2f} times "
                    f"that of exact samples in {len(keys)} settings, in the worst instance "
                    f"{worst:.2f} times."
                )
        return " ".join(parts)

    def _settings(self) -> Iterator[Setting]:
        for dims in self.dims:
            for measured in self.measured:
                single = dims >= self.single_from
                yield Setting(dims, measured, self.instances, self.seed, single)

    def _columns(self) -> Iterator[tuple[str, Any]]:
        for column in self.samplers:
            yield column.sampler.kind.replace("-", "_"), column


def _scores(key: str, found: Arrays, ratios: Any) -> Metrics:
    scores = {
        f"max_sw2_{key}": float(found["distances"].mean()),
        f"ratio_{key}": float(np.median(ratios)),
        f"worst_ratio_{key}": float(ratios.max()),
        f"seconds_{key}": float(found["seconds"]),
    }
    lowest = float(found["effective_sample_sizes"].min())
    return scores if np.isnan(lowest) else scores | {f"min_ess_{key}": lowest}


def _row(metrics: Metrics, name: str, setting: Setting) -> tuple[str, ...]:
    key = f"{name}_{setting.key}"
    numbers = (
        f"max_sw2_{key}",
        f"floor_max_sw2_{setting.key}",
        f"ratio_{key}",
        f"worst_ratio_{key}",
        f"min_ess_{key}",
    )
    cells = (f"{metrics[n]:.2f}" if n in metrics else "" for n in numbers)
    return (str(setting.num_dims), str(setting.num_measured), *cells)
