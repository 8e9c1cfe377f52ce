"""Complete graphs of which a part is known: against exact posteriors, and with a trained prior."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt, model_validator

from invdiff.graphs.moments import GraphMoments
from invdiff.graphs.prior_folder import load_graph_prior
from invdiff.graphs.scores import DenoiserScores, GraphDenoiser
from invdiff.rng import derive_generator
from invdiff.study.laboratory import graph_completion_figures as figures
from invdiff.study.laboratory import graph_completion_report as report
from invdiff.study.laboratory.graph_completion_cases import (
    AskedGraph,
    Case,
    Task,
    check_graphs,
    chosen_graphs,
    draw_case,
)
from invdiff.study.laboratory.graph_completion_config import ExactConfig, Methods, TasksConfig
from invdiff.study.laboratory.graph_completion_drawings import drawings, link_images
from invdiff.study.laboratory.graph_completion_exact import EXACT_PRIORS, compare, exact_problem
from invdiff.study.laboratory.graph_completion_exact_scores import exact_scores, z_scores
from invdiff.study.laboratory.graph_completion_pictures import pictured
from invdiff.study.laboratory.graph_completion_runs import CompletionRuns
from invdiff.study.laboratory.graph_completion_scores import (
    calibration_error,
    link_table,
    ranking_scores,
    reliability,
    unrepeated,
    wrong_shares,
)
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GraphCompletionStudy"]


class GraphCompletionStudy(ScriptedStudy):
    """Compare samplers with exact posteriors of graphs, and complete graphs with a trained prior.

    Args:
        exact: Graphs whose posterior is known.
        prior: A trained denoiser of graphs: one that ships, or a folder.
        tasks: What the prior is asked.
        methods: Samplers that use it; the first of them is shown.
        bins: Of the reliability of link probabilities.
    """

    kind: Literal["graph-completion"] = "graph-completion"
    exact: ExactConfig
    prior: str = "community-small"
    tasks: TasksConfig = TasksConfig()
    methods: Methods
    bins: PositiveInt = 10

    @model_validator(mode="after")
    def _check_tasks(self) -> Self:
        if not self.tasks.tasks():
            raise ValueError("tasks: expected a share of hidden or of wrong pairs, got none")
        keys = [task.key for task in self.tasks.tasks()]
        if len(set(keys)) < len(keys):
            raise ValueError(f"tasks: expected each share once, got {', '.join(keys)}")
        references = {"independent", "communities", *figures.NEIGHBOUR_TITLES}
        if taken := references & {method.key for method in self.methods}:
            raise ValueError(f"methods: the study itself has one titled {taken.pop()}")
        return self

    def check_inputs(self) -> None:
        """Refuse a prior or graphs that the tasks cannot be done with."""
        _, num_features, _ = self._prior("cpu")
        self._graphs(num_features)

    def compute(self, stages: Stages) -> Outcome:
        """Run all samplers on the exact problems, then on the graphs of the set."""
        denoiser, num_features, moments = self._prior(self.device)
        graphs = self._graphs(num_features)
        groups = [graph.group for graph in graphs]
        metrics, arrays = self._exact(stages)
        metrics |= {"groups": groups}
        for task in self.tasks.tasks():
            cases = [self._case(graph, task, k, num_features) for k, graph in enumerate(graphs)]
            runs = CompletionRuns(task, cases, moments.edge_mean, self.tasks.sigma)
            found = self._links(stages, runs, denoiser)
            metrics |= self._scores(task, cases, groups, found)
            curves = self._curves(task, unrepeated(cases, groups), found)
            metrics |= {f"calibration_{key}": calibration_error(c) for key, c in curves.items()}
            arrays |= {f"{k}_{key}": v for key, c in curves.items() for k, v in c.items()}
            arrays |= pictured(task, cases, groups, found[self.methods[0].key]["links"])
        return Outcome(metrics, arrays)

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw errors, rankings, reliability and graphs."""
        drawn = {
            "exact_posteriors": figures.exact_posteriors(metrics, arrays, self.exact.methods),
            "ranking": figures.ranking(metrics, self.tasks.tasks(), self._titles()),
            "reliability": figures.reliability(arrays, self.tasks.tasks(), self._believed()),
        }
        shown = self.methods[0].title
        for task in self.tasks.tasks():
            drawn[f"links_{task.key}"] = link_images(arrays, task, shown)
            drawn[f"graphs_{task.key}"] = drawings(arrays, task, shown)
        return drawn

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return report.captions(self.tasks.tasks(), self.methods[0].title, self.exact.repeats)

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return a table of exact posteriors, one for each task, and one by kinds of graphs."""
        tasks, titles = self.tasks.tasks(), self._titles()
        return [
            report.exact_table(metrics, self.exact.methods),
            *(report.task_table(metrics, task, titles) for task in tasks),
            report.group_table(metrics, tasks[0], titles),
        ]

    def summary(self, metrics: Metrics) -> str:
        """Say who is exact, and how well hidden links are found."""
        return report.summary_text(metrics, self.exact.methods, self.tasks.tasks(), self.methods)

    def _exact(self, stages: Stages) -> tuple[Metrics, Arrays]:
        metrics, arrays, choice = Metrics(), Arrays(), self.exact
        for name in EXACT_PRIORS:
            problem = exact_problem(name, choice.num_nodes, choice.hidden, choice.sigma, self.seed)
            for method in choice.methods:
                key = f"{name}_{method.key}"
                run = partial(
                    compare, problem, method.build(), method.num_samples, choice.repeats,
                    seed=self.seed,
                )  # fmt: skip
                found = stages.run(f"exact_{key}", run)
                metrics |= exact_scores(key, found) | {f"seconds_{key}": float(found["seconds"])}
                arrays[f"z_{key}"], _ = z_scores(found)
        return metrics, arrays

    def _prior(self, device: str) -> tuple[GraphDenoiser, int, GraphMoments]:
        """Return the denoiser, its number of features, and the moments of what it learnt from."""
        saved = load_graph_prior(self.prior, device=device)
        if not isinstance(saved.scores, DenoiserScores):
            raise ValueError(f"prior: expected a denoiser of graphs, got the scores {self.prior}")
        return saved.scores.denoiser, saved.scores.num_features, saved.moments

    def _graphs(self, num_features: int) -> list[AskedGraph]:
        graphs = chosen_graphs(
            self.tasks.graphs, self.tasks.num_test, self.tasks.num_new, num_features - 1, self.seed
        )
        check_graphs(
            graphs,
            num_features - 1 if self.tasks.degrees_known else None,
            communities=self.tasks.communities,
        )
        return graphs

    def _case(self, graph: AskedGraph, task: Task, k: int, num_features: int) -> Case:
        generator = derive_generator(self.seed, "case", task.key, k)
        return draw_case(graph, task, num_features, self.tasks.degrees_known, generator=generator)

    def _links(
        self, stages: Stages, runs: CompletionRuns, denoiser: GraphDenoiser
    ) -> dict[str, Arrays]:
        """Return what each method says of all pairs."""
        found: dict[str, Arrays] = {}
        for method in self.methods:
            run = partial(
                runs.sampled, method.build(), denoiser, method.num_samples,
                seed=self.seed, device=self.device,
            )  # fmt: skip
            found[method.key] = stages.run(f"{runs.task.key}_{method.key}", run)
        found |= runs.references(communities=self.tasks.communities)
        return found | (runs.neighbours() if runs.task.kind == "hidden" else {})

    def _scores(
        self, task: Task, cases: list[Case], groups: list[int], found: dict[str, Arrays]
    ) -> Metrics:
        """Return lists over the graphs, and their means over those that no training graph is."""
        metrics: Metrics = {}
        new = np.array(groups) > 0
        for key, one in found.items():
            name, links = f"{task.key}_{key}", one["links"]
            believed = key in self._believed()
            table = link_table(links, cases) if believed else {"auc": ranking_scores(links, cases)}
            for score, values in table.items():
                metrics[f"{score}_{name}_graphs"] = values
                metrics[f"{score}_{name}"] = float(np.array(values)[new].mean())
            if "seconds" in one:
                metrics[f"seconds_{name}"] = float(one["seconds"]) / len(cases)
                metrics[f"effective_{name}"] = float(one["effective"][new].mean())
        if task.kind == "wrong":
            before = wrong_shares(cases)
            metrics[f"before_{task.key}"] = float(np.array(before)[new].mean())
            metrics[f"before_{task.key}_graphs"] = before
        return metrics

    def _curves(
        self, task: Task, cases: list[Case], found: dict[str, Arrays]
    ) -> dict[str, dict[str, NDArray[Any]]]:
        return {
            f"{task.key}_{key}": reliability(found[key]["links"], cases, self.bins)
            for key in self._believed()
        }

    def _believed(self) -> dict[str, str]:
        """Return the titles of what gives probabilities, by key."""
        titles = {method.key: method.title for method in self.methods}
        return titles | {
            "independent": "independent edges",
            **({"communities": "two communities, exact"} if self.tasks.communities else {}),
        }

    def _titles(self) -> dict[str, str]:
        """Return the titles of all methods by key."""
        return self._believed() | figures.NEIGHBOUR_TITLES
