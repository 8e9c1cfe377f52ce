"""Priors that were trained apart as one, with a trained router, beside the exact case."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from torch import Tensor

from invdiff.priors.denoiser import Denoiser
from invdiff.study.config import PriorConfig
from invdiff.study.laboratory import prior_experts_figures as figures
from invdiff.study.laboratory import prior_experts_report as report
from invdiff.study.laboratory.image_tasks import SLICE_SIZE
from invdiff.study.laboratory.prior_experts_exact import exact_check
from invdiff.study.laboratory.prior_experts_runs import WAYS, Experts, denoising, reconstruction
from invdiff.study.laboratory.prior_experts_slices import ExpertConfig
from invdiff.study.router_training.fitting import fitted_router, restored_router, router_metrics
from invdiff.study.router_training.folder import check_experts, write_routed
from invdiff.study.router_training.options import RouterOptions
from invdiff.study.router_training.slices import ExpertSlices
from invdiff.study.router_training.tables import router_table
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PriorExperts"]


class PriorExperts(ScriptedStudy):
    """Route between priors of several modalities by a network that sees the noisy image alone.

    Args:
        experts: By name, the images and the priors; an expert is wrong for the images of the one
            before.
        size: Rows and columns, a divisor of 256.
        num_slices: Of each archive, for the router.
        router: What is trained, and how.
        sigmas: Noise levels of the scores, for images in [-1, 1].
        shown: Which of the held-out slices is reconstructed.
        red_diff_steps: Of the reconstructions.
        noise_level: Of the measurements, see ``image_problem``.
        num_points: Of the check on a mixture, for each distance and noise level.
    """

    kind: Literal["prior-experts"] = "prior-experts"
    experts: dict[str, ExpertConfig]
    size: PositiveInt = 128
    num_slices: PositiveInt = 400
    router: RouterOptions = RouterOptions()
    sigmas: tuple[PositiveFloat, ...] = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    shown: int = Field(0, ge=0)
    red_diff_steps: PositiveInt = 60
    noise_level: PositiveFloat = 0.01
    num_points: PositiveInt = 2000

    @field_validator("experts")
    @classmethod
    def _check_experts(cls, value: dict[str, ExpertConfig]) -> dict[str, ExpertConfig]:
        if not 2 <= len(value) <= 4:
            raise ValueError(f"expected 2 to 4 experts, got {len(value)}")
        return value

    @field_validator("size")
    @classmethod
    def _check_size(cls, value: int) -> int:
        if SLICE_SIZE % value:
            raise ValueError(f"expected a divisor of {SLICE_SIZE}, got {value}")
        return value

    def check_inputs(self) -> None:
        """Refuse priors that can't be experts of a folder."""
        check_experts(self._priors())

    def compute(self, stages: Stages) -> Outcome:
        """Check the exact case, train the router, then denoise and reconstruct."""
        slices = {
            name: each.read(self.size, self.num_slices) for name, each in self.experts.items()
        }
        if self.shown >= min(len(each.heldout) for each in slices.values()):
            raise ValueError(f"shown: expected a held-out slice, got {self.shown}")
        exact = stages.run("exact", self._exact)
        trained = stages.run("training", partial(self._train, slices, stages.folder))
        router = restored_router(
            self.router, trained, len(self.experts), self.size, device=self.device
        )
        experts = Experts(self._loaded(), router)
        arrays: Arrays = {"sigmas": np.asarray(self.sigmas), "loss": trained["loss"]}
        metrics: Metrics = {name: value.tolist() for name, value in exact.items()}
        heldout = [each.heldout for each in slices.values()]
        metrics |= router_metrics(router, heldout, self.sigmas, self.seed)
        metrics |= {
            "by_subject": all(each.by_subject for each in slices.values()),
            "seconds_exact": metrics.pop("seconds"),
            "seconds_training": float(trained["seconds"]),
        }
        for name in self.experts:
            clean = slices[name].heldout.to(self.device)
            found, scores = self._judged(stages, experts, name, clean)
            arrays |= {f"{name}/{key}": value for key, value in found.items()}
            metrics |= {f"{key}_{name}": value for key, value in scores.items()}
        info = {"title": self.title}
        write = partial(write_routed, experts=self._priors(), router=router.cpu(), info=info)
        return Outcome(metrics, arrays, folders={"routed": write})

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the routing, the denoising, the reconstructions and the exact case."""
        names = list(self.experts)
        return {
            "routing": figures.routing(arrays, names),
            "pictures": figures.pictures(arrays, {n: e.task for n, e in self.experts.items()}),
            "denoising": figures.denoising(arrays, names),
            "truncation": figures.truncation(metrics),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "routing": "Probability that the router gives to the right expert: every held-out "
            "slice, and their mean.",
            "pictures": "Reconstruction by RED-diff of one held-out slice of each modality.",
            "denoising": "Mean over the held-out slices; 0 is as good as the right expert.",
            "truncation": "A mixture of four Gaussians of 16 pixels, split by component and routed "
            "exactly: root mean square error of leaving experts out, and, dotted, its bound, the "
            "weight left out times the largest distance between two experts.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return denoising, reconstruction, the router and the exact case."""
        return [
            report.denoising_table(metrics, list(self.experts), self.sigmas),
            report.reconstruction_table(metrics, {n: e.task for n, e in self.experts.items()}),
            router_table(metrics, self.sigmas),
            report.exact_table(metrics),
        ]

    def summary(self, metrics: Metrics) -> str:
        """Say what routing costs, and what a wrong prior would."""
        return report.summary_text(metrics, list(self.experts), self.sigmas)

    def _exact(self) -> Arrays:
        found = exact_check(self.num_points, self.seed)
        return {name: np.asarray(value) for name, value in found.items()}

    def _judged(
        self, stages: Stages, experts: Experts, name: str, clean: Tensor
    ) -> tuple[Arrays, Metrics]:
        """Denoise all held-out slices of an expert and reconstruct one of them."""
        found = stages.run(
            f"denoising_{name}", partial(denoising, experts, name, clean, self.sigmas, self.seed)
        )
        run = stages.run(
            f"reconstruction_{name}",
            partial(
                reconstruction, experts, name, self.experts[name].task, clean[self.shown],
                num_steps=self.red_diff_steps, noise_level=self.noise_level, seed=self.seed,
            ),
        )  # fmt: skip
        scores: Metrics = {"seconds": float(found.pop("seconds") + run.pop("seconds"))}
        for index, way in enumerate(WAYS):
            scores[f"denoising_{way}"] = found[f"psnr_{way}"].mean(1).tolist()
            scores[f"red_diff_{way}"] = float(run["psnr"][index])
            scores[f"calls_{way}"] = int(run["calls"][index])
        return {**found, **run}, scores

    def _train(self, slices: dict[str, ExpertSlices], folder: Path) -> Arrays:
        return fitted_router(
            self.router, [each.training for each in slices.values()], seed=self.seed,
            device=self.device, folder=folder, title=self.title or self.name,
        )  # fmt: skip

    def _priors(self) -> dict[str, PriorConfig]:
        return {name: each.prior for name, each in self.experts.items()}

    def _loaded(self) -> dict[str, Denoiser]:
        size = (self.size, self.size)
        return {name: prior.load(self.device, size) for name, prior in self._priors().items()}
