"""Particle samplers against heuristic ones on images, at equal numbers of network calls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from invdiff.data import list_samples
from invdiff.priors import list_priors, load_prior, rescale
from invdiff.rng import derive_generator
from invdiff.study.laboratory.image_figures import (
    ensemble_figure,
    score_figure,
    size_figure,
    title_of,
)
from invdiff.study.laboratory.image_priors import (
    Counted,
    patch_prior,
    range_of,
)
from invdiff.study.laboratory.image_runs import SCORES, affordable_steps, draw, draw_exactly, score
from invdiff.study.laboratory.image_tasks import (
    SLICE_SIZE,
    TASKS,
    Task,
    image_problem,
    measurement_picture,
    moved,
    small_slices,
)
from invdiff.study.sampling import sampler_config
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from invdiff.priors import SharedCovarianceMixture
    from invdiff.study.stages import Stages

__all__ = ["SMCImages"]

_REFERENCE = "afdps"
_PARTICLES = ("afdps", "afdps-published", "mcg-diff", "tds")
_ONE_RUN, _TUNED = "-once", "-tuned"
_PATCHES, _EXACT = "patches", "exact"


class SMCImages(ScriptedStudy):
    """Draw samples of five problems by every method, and score them against the truth.

    With the prior "patches" the truth is drawn from a mixture that is known exactly, so that the
    exact posterior (method ``exact``) is the bound and only the samplers are judged. With a
    trained prior the truths are slices it has not seen, and its errors count too.

    All methods make the same number of network calls for the whole set of samples: N particles of
    one run, or N independent runs, each of ``calls_per_sample`` calls. ``red-diff-once`` is the
    other way to spend them: one run of N times as many steps, and a single image.

    Args:
        sample: A series of ``list_samples()``: whose patches, or whose slices.
        prior: "patches", or one of ``list_priors()`` that has not seen the sample.
        num_patches: Means of the mixture of patches.
        num_images: Truths that are drawn from it; numbers are means over them.
        slices: Which slices of the series, from 0, with a trained prior.
        size: Rows and columns, of a patch or of whole slices averaged to this grid.
        noise_level: Of the measurement, over the range of the image.
        tasks: Which problems.
        methods: Kinds of samplers; ``-tuned`` after one names a second setting of it, and
            ``-once`` spends all calls on one sample.
        num_samples: N.
        calls_per_sample: Network calls for each of them.
        options: Settings of a sampler other than its defaults, by method without ``-once``.
    """

    kind: Literal["smc-images"] = "smc-images"
    sample: str = "head-t1"
    prior: str = "patches"
    num_patches: PositiveInt = 100
    num_images: PositiveInt = 4
    slices: tuple[NonNegativeInt, ...] = Field((2,), min_length=1)
    size: PositiveInt = 32
    noise_level: PositiveFloat = 0.025
    tasks: tuple[Task, ...] = Field(TASKS, min_length=1)
    methods: tuple[str, ...] = Field(("red-diff", "diffpir"), min_length=1)
    num_samples: int = Field(16, ge=2)
    calls_per_sample: PositiveInt = 60
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sample not in list_samples() or self.prior not in (_PATCHES, *list_priors()):
            raise ValueError(f"unknown sample or prior: {self.sample}, {self.prior}")
        if SLICE_SIZE % self.size or self.size % 16:
            raise ValueError(f"size: expected 16, 32, 64, 128 or 256, got {self.size}")
        if unused := set(self.options) - {_setting(m) for m in self.methods}:
            raise ValueError(f"options: no method {', '.join(sorted(unused))}")
        if _EXACT in self.methods and self.prior != _PATCHES:
            raise ValueError("methods: exact needs prior: patches")
        if self.prior == _PATCHES and self.device != "cpu":
            raise ValueError(f"device: patches are for the cpu, got {self.device}")
        for method in set(self.methods) - {_EXACT}:
            sampler_config(_kind(method), **self.options.get(_setting(method), {}))
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Draw and score; each method on each task is a stage."""
        truth = self._truth()
        metrics: Metrics = {}
        arrays: Arrays = {"truth": truth[0].numpy()}
        for task in self.tasks:
            likelihood = image_problem(task, truth, self.noise_level, self.seed)
            arrays[f"measurement_{task}"] = measurement_picture(likelihood).numpy()
            for method in self.methods:
                key = f"{_key(method)}_{task}"
                run = stages.run(key, partial(self._draw, method, task, truth))
                metrics |= self._numbers(key, run, truth)
                arrays |= _pictures(key, run)
        return Outcome(metrics | self._wins(metrics), arrays)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the ensembles of each task, all scores, and the effective sample sizes."""
        methods = {_key(method): title_of(method) for method in self.methods}
        drawn = {task: ensemble_figure(task, methods, arrays) for task in self.tasks}
        figures = {f"samples_{task}": figure for task, figure in drawn.items()}
        figures["crps"] = score_figure(self.tasks, methods, metrics, "crps")
        figures["coverage"] = score_figure(self.tasks, methods, metrics, "coverage_90")
        particles = {_key(m): title_of(m) for m in self.methods if m in _PARTICLES}
        if particles:
            figures["effective_sample_size"] = size_figure(self.tasks, particles, arrays)
        return figures

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        pictures = "Slice of the patient, its measurement, and by columns what each method drew."
        return {f"samples_{task}": pictures for task in self.tasks} | {
            "crps": "Smaller is better; the score of a single image is its mean absolute error.",
            "coverage": "Pixels inside of the central 90 % interval; 0.9 would be honest. With few "
            "samples of little weight the interval cannot be wide enough.",
            "effective_sample_size": "Before resampling, as a share of all particles. At the lower "
            "end, 1 / N, one particle has all the weight. The ensemble holds it at its floor by "
            "flattening the weights: mean_kept is the mean power that is left of them.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return a table per task."""
        return [self._table(task, metrics) for task in self.tasks]

    def summary(self, metrics: Metrics) -> str:
        """Say where particles win."""
        calls = self.num_samples * self.calls_per_sample
        setting = (
            f"{self._images()}, {self.size} x {self.size} pixels, "
            f"at most {calls} network calls for each method and image."
        )
        if "wins" not in metrics:
            return setting
        gaps = ", ".join(f"{task} {metrics[f'crps_ratio_{task}']:.2f}" for task in self.tasks)
        return (
            f"{setting} The ensemble's CRPS is at least as good as that of the best heuristic "
            f"method on {metrics['wins']} of {len(self.tasks)} tasks "
            f"({metrics['wins_over_untuned']} if none is tuned). Its CRPS over theirs: {gaps}."
        )

    def _patches(self) -> SharedCovarianceMixture:
        slices = small_slices(self.sample, SLICE_SIZE)
        generator = derive_generator(self.seed, "patches")
        return patch_prior(slices, self.size, self.num_patches, generator)

    def _images(self) -> str:
        if self.prior == _PATCHES:
            return f"{self.num_images} draws of a known prior of patches of {self.sample}"
        return f"{len(self.slices)} slice(s) of {self.sample} with the prior {self.prior}"

    def _truth(self) -> Tensor:
        if self.prior == _PATCHES:
            generator = derive_generator(self.seed, "truth")
            return self._patches().sample(self.num_images, generator=generator).float()
        slices = small_slices(self.sample, self.size)
        if max(self.slices) >= len(slices):
            raise ValueError(f"slices: {self.sample} has {len(slices)}, got {self.slices}")
        return slices[list(self.slices)]

    def _prior(self) -> Counted:
        if self.prior == _PATCHES:
            patches = self._patches()
            return Counted(patches, range_of(patches, derive_generator(self.seed, "range")))
        size = (self.size, self.size)
        network = load_prior(self.prior, device=self.device, size=size)
        return Counted(rescale(network, 0, 1), (0.0, 1.0))

    def _draw(self, method: str, task: Task, truth: Tensor) -> Arrays:
        kind, once = _kind(method), method.endswith(_ONE_RUN)
        likelihood = image_problem(task, truth, self.noise_level, self.seed)
        if kind == _EXACT:
            return draw_exactly(likelihood, self._patches(), self.num_samples, self.seed)
        options = self.options.get(_setting(method), {})
        budget = self.calls_per_sample * (self.num_samples if once else 1)
        steps = affordable_steps(kind, options, budget)
        count = 1 if once else self.num_samples
        options = {**options, "num_steps": steps}
        likelihood = moved(likelihood, self.device)
        return draw(kind, options, likelihood, self._prior(), count, self.seed)

    def _numbers(self, key: str, run: Arrays, truth: Tensor) -> Metrics:
        named = {f"{name}_{key}": value for name, value in score(run, truth).items()}
        named[f"network_calls_{key}"] = int(run["calls"]) // len(truth)
        named[f"seconds_{key}"] = float(run["seconds_sampling"])
        if run["ess"].size:
            named[f"min_ess_{key}"] = float(run["ess"].min())
            named[f"num_warnings_{key}"] = int(run["num_warnings"])
        if run["kept"].size:
            named[f"mean_kept_{key}"] = float(run["kept"].mean())
        # flattened weights leave none
        if run["log_evidence"].size and np.isfinite(run["log_evidence"]).all():
            named[f"log_evidence_{key}"] = float(run["log_evidence"].mean())
        return named

    def _wins(self, metrics: Metrics) -> Metrics:
        """Compare with the best heuristic method, with and without those that were tuned."""
        rivals = [m for m in self.methods if m not in (*_PARTICLES, _EXACT)]
        untuned = [m for m in rivals if not m.endswith(_TUNED)]
        if _REFERENCE not in self.methods or not untuned:
            return {}
        ratios = self._ratios(rivals, metrics)
        lenient = self._ratios(untuned, metrics)
        return {f"crps_ratio_{task}": ratio for task, ratio in ratios.items()} | {
            "wins": sum(ratio <= 1 for ratio in ratios.values()),
            "wins_over_untuned": sum(ratio <= 1 for ratio in lenient.values()),
        }

    def _ratios(self, rivals: list[str], metrics: Metrics) -> dict[Task, float]:
        return {
            task: metrics[f"crps_{_key(_REFERENCE)}_{task}"]
            / min(metrics[f"crps_{_key(m)}_{task}"] for m in rivals)
            for task in self.tasks
        }

    def _table(self, task: Task, metrics: Metrics) -> Table:
        rows = []
        for method in self.methods:
            key = f"{_key(method)}_{task}"
            ends = [metrics.get(f"{name}_{key}") for name in ("min_ess", "log_evidence")]
            numbers = [f"{metrics[f'{name}_{key}']:.3g}" for name in SCORES]
            numbers += ["" if end is None else f"{end:.3g}" for end in ends]
            numbers += [str(metrics[f"network_calls_{key}"]), f"{metrics[f'seconds_{key}']:.0f}"]
            rows.append((title_of(method), *numbers))
        columns = ("method", "PSNR of mean", "PSNR of best", "SSIM of mean", "SSIM of best", "CRPS",
                   "coverage of 90 %", "spread", "least ESS", "log evidence", "calls",
                   "seconds")  # fmt: skip
        caption = "PSNR in dB; CRPS and spread (root mean square over pixels) in % of the range."
        return Table(f"Task {task}", columns, tuple(rows), caption)


def _kind(method: str) -> str:
    return method.removesuffix(_ONE_RUN).removesuffix(_TUNED)


def _setting(method: str) -> str:
    return method.removesuffix(_ONE_RUN)


def _key(method: str) -> str:
    return method.replace("-", "_")


def _pictures(key: str, run: Arrays) -> Arrays:
    values, log_weights = run["values"][:, 0], run["log_weights"][:, 0]
    weights = np.exp(log_weights - log_weights.max())
    weights = (weights / weights.sum()).reshape(-1, 1, 1)
    mean = (weights * values).sum(0)
    std = np.sqrt((weights * (values - mean) ** 2).sum(0))
    best = values[int(log_weights.argmax())]
    pictures = {f"mean_{key}": mean, f"std_{key}": std, f"sample_{key}": best}
    return pictures | (
        {f"ess_{key}": run["ess"].reshape(len(run["ess"]), -1)[:, 0]} if run["ess"].size else {}
    )
