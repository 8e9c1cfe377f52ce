"""Priors that were trained apart as one, with a trained router, beside the exact case."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from torch import Tensor

from invdiff.priors.denoiser import Denoiser
from invdiff.priors.router_network import RouterNetwork, RouterSettings
from invdiff.rng import derive_generator
from invdiff.study.laboratory import prior_experts_figures as figures
from invdiff.study.laboratory import prior_experts_report as report
from invdiff.study.laboratory.image_tasks import SLICE_SIZE
from invdiff.study.laboratory.prior_experts_exact import exact_check
from invdiff.study.laboratory.prior_experts_runs import WAYS, Experts, denoising, reconstruction
from invdiff.study.laboratory.prior_experts_slices import ExpertConfig, ExpertSlices
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages
from invdiff.study.stored_weights import restore_weights, stored_weights
from invdiff.training import (
    LogUniformLevels,
    RouterScore,
    Training,
    drawn_network,
    mirrored,
    router_scores,
    train_router,
)
from invdiff.training.routed_folder import save_router

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PriorExperts"]

# draws of the noise of each held-out slice, for the scores of the router
_REPEATS = 20


class PriorExperts(ScriptedStudy):
    """Route between priors of several modalities by a network that sees the noisy image alone.

    Args:
        experts: By name, the images and the priors; an expert is wrong for the images of the one
            before.
        size: Rows and columns, a divisor of 256.
        num_slices: Of each archive, for the router.
        num_steps: Of the training of the router.
        batch_size: Of its steps.
        learning_rate: Its highest value.
        width: Channels of the router.
        depth: Layers of the router.
        sigma_min: Lowest noise level that the router learns.
        sigma_max: Highest.
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
    num_steps: PositiveInt = 300
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 2e-3
    width: PositiveInt = 32
    depth: PositiveInt = 5
    sigma_min: PositiveFloat = 0.01
    sigma_max: PositiveFloat = 30.0
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

    def compute(self, stages: Stages) -> Outcome:
        """Check the exact case, train the router, then denoise and reconstruct."""
        slices = {
            name: ExpertSlices.read(config, self.size, self.num_slices)
            for name, config in self.experts.items()
        }
        if self.shown >= min(len(each.heldout) for each in slices.values()):
            raise ValueError(f"shown: expected a held-out slice, got {self.shown}")
        exact = stages.run("exact", self._exact)
        trained = stages.run("training", partial(self._train, slices))
        experts = Experts(self._priors(), self._router(trained))
        arrays: Arrays = {"sigmas": np.asarray(self.sigmas), "loss": trained["loss"]}
        metrics: Metrics = {name: value.tolist() for name, value in exact.items()}
        metrics |= self._router_metrics(slices, experts)
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
        router = self._router(trained)
        info = {"title": self.title, "experts": list(self.experts)}
        return Outcome(
            metrics, arrays, folders={"router": lambda path: save_router(path, router, info)}
        )

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
            report.router_table(metrics, self.sigmas, _REPEATS),
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

    def _train(self, slices: dict[str, ExpertSlices]) -> Arrays:
        generator = derive_generator(self.seed, "router", device=self.device)
        training = Training(
            self.num_steps, self.learning_rate, num_warmup=max(1, self.num_steps // 10),
            ema_decay=0.98, dtype=torch.float32,
        )  # fmt: skip
        losses: list[Tensor] = []
        network = train_router(
            self._network(), [each.training.to(self.device) for each in slices.values()],
            training, LogUniformLevels(self.sigma_min, self.sigma_max),
            batch_size=self.batch_size, generator=generator, shares=[1.0] * len(slices),
            change=mirrored, callback=lambda step: losses.append(step.loss),
        )  # fmt: skip
        return {"loss": torch.stack(losses).cpu().numpy(), **stored_weights(network)}

    def _network(self) -> RouterNetwork:
        settings = RouterSettings(
            len(self.experts), (self.size, self.size), width=self.width, depth=self.depth
        )
        return drawn_network(
            lambda: RouterNetwork(settings), generator=derive_generator(self.seed, "weights")
        ).to(self.device)

    def _router(self, trained: Arrays) -> RouterNetwork:
        network = self._network()
        restore_weights(network, trained)
        return network.requires_grad_(False)

    def _priors(self) -> dict[str, Denoiser]:
        size = (self.size, self.size)
        return {name: each.prior.load(self.device, size) for name, each in self.experts.items()}

    def _router_metrics(self, slices: dict[str, ExpertSlices], experts: Experts) -> Metrics:
        images = [each.heldout.repeat(_REPEATS, 1, 1) for each in slices.values()]
        labels = torch.arange(len(images)).repeat_interleave(torch.tensor(list(map(len, images))))
        scores = router_scores(
            experts.router, torch.cat(images).to(self.device), labels.to(self.device), self.sigmas,
            generator=derive_generator(self.seed, "scores", device=self.device),
        )  # fmt: skip
        names = [name for name in RouterScore._fields if name != "sigma"]
        return {name: [getattr(score, name) for score in scores] for name in names}
