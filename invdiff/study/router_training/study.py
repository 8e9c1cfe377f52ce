"""Train a router between priors that were trained apart, and write them as one prior."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from invdiff.study.router_training import figures, tables
from invdiff.study.router_training.fitting import fitted_router, restored_router, router_metrics
from invdiff.study.router_training.folder import check_experts, write_routed
from invdiff.study.router_training.options import RouterOptions
from invdiff.study.router_training.slices import ExpertSlices, SlicedExpert
from invdiff.study.scripted import Arrays, Metrics, Outcome, Table
from invdiff.study.stages import Stages
from invdiff.study.trains import TrainingStudy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["RouterTraining"]


class RouterTraining(TrainingStudy):
    """Train a router on images of each expert, judge it on some kept from it, write one prior.

    Args:
        experts: By name, the priors and their images, alike in size.
        router: What is trained, and how.
        sigmas: Noise levels of the scores, for images in [-1, 1].
        num_heldout: Held-out slices of each expert that it is judged on.
        licence: Of the weights and of what they were trained on.
    """

    kind: Literal["router-training"] = "router-training"
    experts: dict[str, SlicedExpert]
    router: RouterOptions = RouterOptions()
    sigmas: tuple[PositiveFloat, ...] = Field((0.1, 0.3, 1.0, 3.0, 10.0), min_length=1)
    num_heldout: PositiveInt = 64
    licence: str = ""

    @field_validator("experts")
    @classmethod
    def _check_experts(cls, value: dict[str, SlicedExpert]) -> dict[str, SlicedExpert]:
        if len(value) < 2:
            raise ValueError(f"expected 2 experts or more, got {len(value)}")
        return value

    def check_inputs(self) -> None:
        """Refuse slices and priors that aren't there, and priors that can't be experts."""
        check_experts({name: each.prior for name, each in self.experts.items()})
        for each in self.experts.values():
            each.check()

    def compute(self, stages: Stages) -> Outcome:
        """Train the router, and judge it."""
        slices = {name: each.read(self.num_heldout) for name, each in self.experts.items()}
        size = _common_size(slices)
        trained = stages.run(
            "training",
            partial(
                fitted_router, self.router, [each.training for each in slices.values()],
                seed=self.seed, device=self.device, folder=stages.folder,
                title=self.title or self.name,
            ),
        )  # fmt: skip
        router = restored_router(self.router, trained, len(slices), size, device=self.device)
        heldout = [each.heldout for each in slices.values()]
        metrics = router_metrics(router, heldout, self.sigmas, self.seed)
        metrics["by_subject"] = all(each.by_subject for each in slices.values())
        metrics["training_seconds"] = float(trained["seconds"])
        for name, each in slices.items():
            metrics[f"num_training_{name}"] = len(each.training)
            metrics[f"num_heldout_{name}"] = len(each.heldout)
        priors = {name: each.prior for name, each in self.experts.items()}
        info = {"title": self.title, "licence": self.licence, "heldout": metrics}
        write = partial(write_routed, experts=priors, router=router.cpu(), info=info)
        return Outcome(metrics, {"loss": trained["loss"]}, folders={"prior": write})

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the loss and the scores."""
        return {"loss": figures.loss(arrays), "scores": figures.scores(metrics, self.sigmas)}

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "loss": "Cross entropy of each step: over all noise levels that it learns.",
            "scores": "On held-out slices: how often the likeliest expert is the right one, and "
            "how far its stated probability is from that.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return the scores by noise level."""
        return [tables.router_table(metrics, self.sigmas)]

    def summary(self, metrics: Metrics) -> str:
        """Say what it was trained on, and how far it is right."""
        return tables.summary_text(metrics, list(self.experts), self.sigmas)


def _common_size(slices: dict[str, ExpertSlices]) -> int:
    sizes = {name: each.training.shape[-1] for name, each in slices.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"experts: expected slices of one size (slices.size), got {sizes}")
    return next(iter(sizes.values()))
