"""Generate graphs from a prior, trained here or before, and judge them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator
from torch import nn

from invdiff.graphs.datasets import GraphSplit, load_graphs, split_graphs
from invdiff.graphs.isomorphism import novelty
from invdiff.graphs.moments import graph_moments
from invdiff.graphs.prior_folder import SavedGraphPrior, load_graph_prior, save_graph_prior
from invdiff.graphs.state import GraphState
from invdiff.rng import derive_generator
from invdiff.study.laboratory import graphs_figures as figures
from invdiff.study.laboratory import graphs_report as report
from invdiff.study.laboratory.graphs_config import IntegratorBase, IntegratorConfig
from invdiff.study.laboratory.graphs_runs import GraphRuns, stored_graphs
from invdiff.study.laboratory.graphs_scores import (
    PROTOCOLS,
    drawn_arrays,
    pictured,
    score_arrays,
    score_metrics,
    short_metrics,
)
from invdiff.study.laboratory.graphs_training import LogOddsTraining, PublishedTraining
from invdiff.study.laboratory.graphs_training_run import trained_weights
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages
from invdiff.study.stored_weights import restore_weights
from invdiff.training import drawn_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Graphs"]

# graphs that are drawn, of the test set and of the generated ones
_NUM_SHOWN = 16


class Graphs(ScriptedStudy):
    """Generate graphs with several integrators, and compare them with a test set.

    Args:
        graphs: A set that ships, or a JSON file; the first fifth are the test graphs.
        prior: One that ships, or a folder; without ``training``.
        training: What is trained on the training graphs, without ``prior``.
        integrators: Ways from noise to graphs; the first is the main one.
        matched_start: Begin with noise that has the moments of noisy training graphs, instead of
            a standard normal.
        num_graphs: Of a run.
        num_runs: Of each integrator.
        batch_size: Graphs at a time; all by default.
    """

    kind: Literal["graphs"] = "graphs"
    graphs: str
    prior: str | None = None
    training: Annotated[LogOddsTraining | PublishedTraining | None, Field(discriminator="kind")] = (
        None
    )
    integrators: tuple[IntegratorConfig, ...] = Field(min_length=1)
    matched_start: bool = True
    num_graphs: PositiveInt = 128
    num_runs: int = Field(5, ge=2)
    batch_size: PositiveInt | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.prior is None) == (self.training is None):
            raise ValueError("expected either a prior or a training")
        names = [integrator.name for integrator in self.integrators]
        if len(set(names)) < len(names):
            raise ValueError(f"integrators: expected one label for each, got {', '.join(names)}")
        # NAME_std is the spread of NAME among the metrics
        if any(name.endswith("std") for name in names):
            raise ValueError("integrators: a label must not end in std")
        return self

    def check_inputs(self) -> None:
        """Refuse a set or a prior that isn't there, and a training that the set doesn't fit."""
        split = split_graphs(load_graphs(self.graphs))
        if self.training is not None:
            self.training.encoded(split.training)
        elif self.prior is not None:
            load_graph_prior(self.prior)

    def compute(self, stages: Stages) -> Outcome:
        """Train if need be, generate, and compare."""
        split = split_graphs(load_graphs(self.graphs))
        metrics: Metrics = {
            "num_training": len(split.training),
            "num_test": len(split.test),
            "num_runs": self.num_runs,
            "test_novelty": novelty(split.test, split.training),
        }
        prior, trained = self._prior(stages, split)
        runs = GraphRuns(
            prior.scores, prior.moments, self.matched_start, self.num_graphs, self.batch_size,
            self.seed, self.device,
        )  # fmt: skip
        drawn = stages.run("drawn", partial(self._drawn, split))
        metrics |= score_metrics(drawn)
        main, *others = self.integrators
        found, arrays = self._found(stages, runs, main, split, tuple(PROTOCOLS))
        metrics |= score_metrics(arrays) | {
            "num_calls": found["num_calls"],
            "seconds": found["seconds"],
            "seconds_per_graph": found["seconds"] / self.num_graphs,
        }
        for other in others:
            found, scored = self._found(stages, runs, other, split, ("first", "all"))
            metrics |= {f"{key}_{other.name}": value for key, value in found.items()}
            metrics |= short_metrics(other.name, scored)
        arrays |= drawn | self._pictures(stages, runs, split)
        metrics |= self._training_metrics(trained)
        arrays |= {key: trained[key] for key in ("loss", "step_seconds") if key in trained}
        arrays.pop("seconds", None)
        return Outcome(metrics, arrays, folders=self._folders(prior, metrics))

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw graphs, one on its way, discrepancies, and the loss of a training."""
        drawn = {
            "graphs": figures.gallery(arrays),
            "trajectory": figures.trajectory(arrays),
            "discrepancies": figures.discrepancies(arrays, metrics["num_test"], self.num_graphs),
        }
        if len(self.integrators) > 1:
            drawn["calls"] = figures.calls(metrics, self.integrators, self._keys())
        if "loss" in arrays:
            drawn["loss"] = figures.loss(arrays)
        return drawn

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return report.captions(self.num_runs)

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return statistics, integrators and the training."""
        tables = [
            report.statistic_table(metrics, self.num_graphs),
            report.integrator_table(metrics, self.integrators, self._keys()),
        ]
        return [*tables, report.training_table(metrics)] if self.training else tables

    def summary(self, metrics: Metrics) -> str:
        """Say whether the graphs are as near as training graphs, and whether they are new."""
        return report.summary_text(metrics, self.integrators[0], self.num_graphs)

    def _prior(self, stages: Stages, split: GraphSplit) -> tuple[SavedGraphPrior, Arrays]:
        """Return the prior, and what its training left."""
        if self.training is None:
            assert self.prior is not None
            return load_graph_prior(self.prior, device=self.device), {}
        training = self.training
        graphs = GraphState(*(x.to(self.device) for x in training.encoded(split.training)))
        generator = derive_generator(self.seed, "training", device=self.device)
        fit = partial(training.fit, graphs, generator)
        train = partial(trained_weights, fit, training.checkpoint_every, stages.folder)
        trained = stages.run("training", train)
        unused = derive_generator(self.seed, "unused", device=self.device)
        network: nn.Module = drawn_network(lambda: training.build(graphs), generator=unused)
        restore_weights(network, trained)
        scores = training.scores(network.requires_grad_(False))
        return SavedGraphPrior(scores, graph_moments(graphs), {}), trained

    def _found(
        self,
        stages: Stages,
        runs: GraphRuns,
        integrator: IntegratorBase,
        split: GraphSplit,
        protocols: tuple[str, ...],
    ) -> tuple[Metrics, Arrays]:
        """Generate with an integrator; return the costs of a run, and the scores."""
        stored = [self._run(stages, runs, integrator, run) for run in range(self.num_runs)]
        graphs = [stored_graphs(run) for run in stored]
        scored = stages.run(
            f"scores_{integrator.name}", partial(score_arrays, graphs, split, protocols)
        )
        cost = {
            "num_calls": float(stored[0]["calls"]),
            "seconds": float(np.mean([run["seconds"] for run in stored])),
        }
        return cost, scored

    def _drawn(self, split: GraphSplit) -> Arrays:
        generator = derive_generator(self.seed, "drawn")
        return drawn_arrays(split, self.num_graphs, generator=generator)

    def _run(self, stages: Stages, runs: GraphRuns, integrator: IntegratorBase, run: int) -> Arrays:
        title = f"{integrator.title}, run {run + 1} of {self.num_runs}"
        generate = partial(runs.graphs, integrator.build(), run, title)
        return stages.run(f"graphs_{integrator.name}_{run}", generate)

    def _pictures(self, stages: Stages, runs: GraphRuns, split: GraphSplit) -> Arrays:
        main = self.integrators[0]
        first = stored_graphs(self._run(stages, runs, main, 0))
        way = stages.run("trajectory", partial(runs.trajectory, main.build()))
        return pictured(first, split, _NUM_SHOWN) | way

    def _training_metrics(self, trained: Arrays) -> Metrics:
        if not trained:
            return {}
        loss, seconds = trained["loss"], trained["step_seconds"]
        return {
            "num_parameters": sum(v.size for k, v in trained.items() if k.startswith("weights/")),
            "num_steps": len(loss),
            "training_seconds": float(seconds.sum()),
            "seconds_per_step": float(np.median(seconds)),
            "loss_last": float(loss[-max(1, len(loss) // 20) :].mean()),
        }

    def _folders(self, prior: SavedGraphPrior, metrics: Metrics) -> dict[str, Any]:
        if self.training is None:
            return {}
        info = {
            "title": self.title,
            "graphs": self.graphs,
            "training": self.training.model_dump(mode="json"),
            "metrics": metrics,
        }
        save = partial(save_graph_prior, scores=prior.scores, moments=prior.moments, info=info)
        return {"prior": save}

    def _keys(self) -> dict[str, dict[str, str]]:
        """Return the metrics of each integrator by what they are."""
        names = {
            "calls": "num_calls",
            "seconds": "seconds",
            "first": "mmd_average",
            "all": "all_mmd_average",
            "novelty": "novelty",
            "uniqueness": "uniqueness",
        }
        main, *others = self.integrators
        keys = {main.name: names}
        for other in others:
            keys[other.name] = {what: f"{key}_{other.name}" for what, key in names.items()}
        return keys
