"""How far the spread of posterior samples of a CT can be trusted, before and after calibration."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from invdiff.classical import fbp
from invdiff.rng import derive_generator, draw_seeds
from invdiff.study.build import build_problem
from invdiff.study.config import Experiment, InputConfig, PriorConfig
from invdiff.study.forward import OperatorConfig
from invdiff.study.forward_ct import ParallelConfig
from invdiff.study.laboratory import ct_uncertainty_figures as figures
from invdiff.study.laboratory.ct_uncertainty_scores import Slice, evaluate
from invdiff.study.noise import GaussianConfig, NoiseConfig
from invdiff.study.prior import LoadedPrior
from invdiff.study.problem import Problem
from invdiff.study.sampling import SamplerConfig, sampler_config
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CTUncertainty"]


class CTUncertainty(ScriptedStudy):
    """Sample slices of a CT whose truth is known; calibrate on some, judge on others.

    Where each slice is judged with the calibration of the others, the mean coverage is close to
    the level whatever the samples are, as one too high goes with others too low: the coverage
    slice by slice is the evidence. Neighbours of one patient are alike, too; ``calibration``
    asks whether the factor carries over to another patient.

    Args:
        input: The CT that is judged; its slices are given by ``slices``.
        slices: Which of its slices.
        shown: The one of them that gets all samples and is drawn.
        calibration: Other CTs, one slice each, to calibrate on. Without them each slice is
            judged with the calibration of the others of ``slices``.
        size: Rows and columns of the grid.
        operator: A CT scan.
        noise: How it scatters.
        prior: The denoiser.
        sampler: The method.
        num_samples: Of the slice that is shown.
        num_calibration_samples: Of every slice, for calibration and all scores; with 19 of them
            the 90 % interval is their range.
        level: What the calibrated interval is to hold.
        floor: Spread in HU below which samples are not believed, see
            ``invdiff.uncertainty.ConformalCalibration``.
    """

    kind: Literal["ct-uncertainty"] = "ct-uncertainty"
    input: InputConfig = InputConfig(sample="sts-044")
    slices: tuple[NonNegativeInt, ...] = (0, 1, 2, 3, 4)
    shown: NonNegativeInt = 2
    calibration: tuple[InputConfig, ...] = ()
    size: PositiveInt = 128
    operator: OperatorConfig = ParallelConfig(views=30)
    noise: NoiseConfig = GaussianConfig(level=0.005)
    prior: PriorConfig = PriorConfig(name="ct-256")
    sampler: SamplerConfig = sampler_config(
        "diffpir", num_steps=20, regularization=1.0, noise_fraction=1.0
    )
    num_samples: PositiveInt = 64
    num_calibration_samples: int = Field(19, ge=2)
    level: float = Field(0.9, gt=0, lt=1)
    floor: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.operator.kind.startswith("ct-"):
            raise ValueError(f"operator.kind: expected a CT scan, got {self.operator.kind}")
        if self.shown not in self.slices or len(set(self.slices)) < len(self.slices):
            raise ValueError(f"slices: expected different ones with {self.shown}, the shown one")
        if not self.calibration and len(self.slices) < 2:
            raise ValueError("slices: expected 2 or more, or scans for calibration")
        if self.num_samples < self.num_calibration_samples:
            raise ValueError("num_samples: expected at least num_calibration_samples")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Sample all slices, then calibrate and judge."""
        prior = cache(self._load)
        judged = [self.input.model_copy(update={"slice": k}) for k in self.slices]
        sources = {f"slice_{s.slice}": s for s in judged}
        sources |= {f"calibration_{k}": s for k, s in enumerate(self.calibration)}
        # all scans are read before the first is sampled: a bad file must not cost minutes
        problems = {name: self._problem(name, source) for name, source in sources.items()}
        results = {
            name: stages.run(name, partial(self._sampled, name, problem, prior))
            for name, problem in problems.items()
        }
        slices = [Slice.of(r, self.num_calibration_samples) for r in results.values()]
        count = len(judged)
        outcome = evaluate(
            slices[:count],
            slices[count:] or None,
            shown=self.slices.index(self.shown),
            level=self.level,
            floor=self.floor,
            data_range=float(results["slice_" + str(self.shown)]["data_range"]),
        )
        for key in ("seconds", "network_calls"):
            outcome.metrics[key] = sum(r[key].item() for r in results.values())
        return outcome

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the images, the maps of uncertainty, the scores and the coverage."""
        return {
            "reconstruction": figures.reconstruction(arrays),
            "uncertainty": figures.uncertainty(arrays),
            "z_scores": figures.z_scores(metrics, arrays),
            "coverage": figures.coverage(metrics),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        percent = f"{self.level:.0%}".replace("%", " %")
        return {
            "reconstruction": f"Slice {self.shown}: the truth, filtered back-projection of the "
            f"same views, and the mean of {self.num_samples} samples. The line is the outline "
            "of the body, found in the second.",
            "uncertainty": "Absolute error of the mean beside the standard deviation over the "
            f"samples, as it is and calibrated, and the calibrated {percent} interval's width. "
            "The calibrated deviation is the interval's half width over that of a normal one.",
            "z_scores": "Error over standard deviation per pixel, and its histogram within the "
            "body beside the standard normal density.",
            "coverage": "How many pixels the intervals hold, against how many they claim to "
            "hold, averaged over the slices; the band reaches from the worst slice to the best.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return the coverage before and after calibration, and the scores."""
        per_slice = zip(
            self.slices,
            metrics["coverage_90_raw_per_slice"],
            metrics["coverage_90_per_slice"],
            metrics["crps_per_slice"],
            metrics["spearman_per_slice"],
            metrics["psnr_per_slice"],
            strict=True,
        )
        rows = tuple(
            (str(k), f"{raw:.3f}", f"{after:.3f}", f"{crps:.1f}", f"{rho:.2f}", f"{psnr:.2f}")
            for k, raw, after, crps, rho, psnr in per_slice
        )
        columns = ("slice", "coverage", "calibrated", "CRPS (HU)", "Spearman", "PSNR of mean (dB)")
        caption = (
            f"Coverage of {self.level:.0%} intervals within the body, from "
            f"{self.num_calibration_samples} samples; no slice is calibrated on itself. "
            "Calibrated on one another, slices have about that coverage in the mean in any case: "
            "how far each is from it tells how far the calibration carries."
        )
        return [Table("Slices", columns, rows, caption.replace("%", " %"))]

    def summary(self, metrics: Metrics) -> str:
        """Say what the calibration did."""
        held = [100 * c for c in metrics["coverage_90_per_slice"]]
        where = "scans of other patients" if self.calibration else "the other slices"
        return (
            f"Within the body, intervals that claim {100 * self.level:.0f} % of the pixels hold "
            f"{100 * metrics['coverage_90_raw']:.1f} % as the samples spread, and "
            f"{100 * metrics['coverage_90']:.1f} % once calibrated on {where} "
            f"({100 * metrics['coverage_90_all']:.1f} % with the air around it), slice by slice "
            f"from {min(held):.1f} to {max(held):.1f} %. They are "
            f"{metrics['interval_width_HU']:.0f} HU wide on average. The map of the standard "
            f"deviation ranks the errors with a Spearman correlation of {metrics['spearman']:.2f}."
        )

    def _load(self) -> LoadedPrior:
        return self.prior.load(self.device, (self.size, self.size))

    def _problem(self, name: str, source: InputConfig) -> Problem:
        """Simulate the scan of a slice."""
        problem = build_problem(self._experiment(name, source), (self.size, self.size))
        if problem.truth is None:
            raise ValueError(f"{source.describe()}: expected an image, whose scan is simulated")
        return problem.to(self.device)

    def _sampled(self, name: str, problem: Problem, prior: Any) -> Arrays:
        """Sample a slice; all images in HU."""
        assert problem.truth is not None
        network = prior()
        calls = network.num_calls
        many = name == f"slice_{self.shown}"
        samples = self.sampler.build().sample(
            problem.likelihood,
            problem.denoiser(network),
            self.num_samples if many else self.num_calibration_samples,
            generator=derive_generator(self.seed, "sampler", name),
        )
        return {
            "samples": problem.values(samples.values),
            "log_weights": samples.log_weights.double().cpu().numpy(),
            "truth": problem.values(problem.truth),
            "fbp": problem.values(fbp(problem.likelihood)),
            "pixel_mm": np.asarray(problem.pixel_mm),
            "data_range": np.asarray(problem.units.data_range),
            "network_calls": np.asarray(network.num_calls - calls),
        }

    def _experiment(self, name: str, source: InputConfig) -> Experiment:
        # every slice has noise of its own
        (seed,) = draw_seeds(derive_generator(self.seed, "noise", name), 1)
        return Experiment(
            seed=seed,
            device=self.device,
            input=source,
            operator=self.operator,
            noise=self.noise,
            prior=self.prior,
            sampler=self.sampler,
        )
