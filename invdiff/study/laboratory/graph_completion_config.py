"""Choices of the study of partly known graphs."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt

from invdiff.study.base import Config
from invdiff.study.laboratory.graph_completion_cases import Task
from invdiff.study.sampling import SamplerConfig

__all__ = ["ExactConfig", "MethodConfig", "Methods", "TasksConfig"]

Share = Annotated[float, Field(gt=0, lt=1)]


class MethodConfig(Config):
    """A sampler with its settings.

    Args:
        title: In the report; the numbers are named after it.
        num_samples: Of each graph, or particles.
        sampler: Kind with its options; noise levels in half the range of an edge, which is 0.5.
    """

    title: str = Field(pattern=r"[A-Za-z]")
    num_samples: int = Field(64, ge=2)
    sampler: SamplerConfig

    @property
    def key(self) -> str:
        """Return the title as a part of names."""
        return re.sub(r"[^a-z0-9]+", "_", self.title.lower()).strip("_")

    def build(self) -> Any:
        """Return the sampler."""
        return self.sampler.build()


def _distinct(methods: tuple[MethodConfig, ...]) -> tuple[MethodConfig, ...]:
    keys = [method.key for method in methods]
    if len(set(keys)) < len(keys):
        raise ValueError(f"expected different titles, got {', '.join(m.title for m in methods)}")
    return methods


Methods = Annotated[tuple[MethodConfig, ...], Field(min_length=1), AfterValidator(_distinct)]


class ExactConfig(Config):
    """Graphs whose posterior is known.

    Args:
        num_nodes: Of each graph.
        hidden: Share of the pairs that is unknown.
        sigma: Standard deviation of the noise of the known pairs.
        repeats: Independent runs on the same data, which tell the Monte Carlo error.
        methods: Samplers.
    """

    num_nodes: int = Field(4, ge=3)
    hidden: Share = 0.5
    sigma: PositiveFloat = 0.2
    repeats: int = Field(16, ge=2)
    methods: Methods


class TasksConfig(Config):
    """Graphs of a set, and what is done to them.

    Args:
        graphs: A set that ships, or a file.
        num_test: First graphs of its test set.
        num_new: Graphs of two communities that are drawn for the study.
        hidden: Shares of the pairs that are hidden, a task each.
        wrong: Shares of the pairs that are told wrongly, a task each.
        sigma: Standard deviation of the noise that known pairs are taken to have.
        degrees_known: Tell the degree of each node in the whole graph where pairs are hidden;
            else the nodes' features are unknown, as the pairs are.
        communities: Compare with the exact posterior of graphs of two communities.
    """

    graphs: str = "community_small"
    num_test: PositiveInt = 20
    num_new: int = Field(default=10, ge=0)
    hidden: tuple[Share, ...] = (0.2, 0.4)
    wrong: tuple[Annotated[float, Field(gt=0, lt=0.5)], ...] = (0.1,)
    sigma: PositiveFloat = 0.1
    degrees_known: bool = False
    communities: bool = True

    def tasks(self) -> list[Task]:
        """Return the tasks, those with hidden pairs first."""
        hidden = [Task("hidden", share) for share in self.hidden]
        return hidden + [Task("wrong", share) for share in self.wrong]
