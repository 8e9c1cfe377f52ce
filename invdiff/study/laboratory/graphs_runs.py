"""Graphs from a prior, and one of them on its way."""

from __future__ import annotations

from dataclasses import dataclass, field

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from invdiff.graphs.encoding import decode_graphs, quantized
from invdiff.graphs.generation import generate
from invdiff.graphs.integrator import GraphCallback, GraphIntegrator, GraphProgress
from invdiff.graphs.moments import GraphMoments
from invdiff.graphs.scores import PartialScores
from invdiff.graphs.state import GraphState, size_mask
from invdiff.graphs.system import GraphSystem
from invdiff.rng import Streams, derive_generator
from invdiff.study.progress import StepBar
from invdiff.study.scripted import Arrays

__all__ = ["GraphRuns", "stored_graphs"]

# moments of the graph that is shown on its way, with its start and its end
_NUM_MOMENTS = 8


class _CountedScores:
    def __init__(self, scores: PartialScores) -> None:
        self.calls, self._scores = 0, scores

    @property
    def system(self) -> GraphSystem:
        return self._scores.system

    @property
    def num_features(self) -> int:
        return self._scores.num_features

    def __call__(self, state: GraphState, t: Tensor) -> GraphState:
        self.calls += 1
        return self._scores(state, t)


@dataclass
class _Watched:
    """An integrator whose states are kept, with their times."""

    integrator: GraphIntegrator
    seen: list[tuple[float, Tensor]] = field(default_factory=list)

    def run(
        self,
        scores: PartialScores,
        start: GraphState,
        streams: Streams,
        callback: GraphCallback | None = None,
    ) -> GraphState:
        self.seen.append((1.0, start.adjacency.cpu()))

        def note(progress: GraphProgress) -> None:
            self.seen.append((float(progress.t), progress.state.adjacency.cpu()))

        return self.integrator.run(scores, start, streams, note)


@dataclass(frozen=True, eq=False)
class GraphRuns:
    """Runs that generate graphs; run k begins with the same noise for every integrator.

    Args:
        scores: Of the prior.
        moments: Of its training graphs; the sizes are drawn from them.
        matched_start: Whether the noise at the start has the moments of noisy graphs.
        num_graphs: Of a run.
        batch_size: Graphs at a time; None: all.
        seed: Of all runs.
        device: Where to compute.
    """

    scores: PartialScores
    moments: GraphMoments
    matched_start: bool
    num_graphs: int
    batch_size: int | None
    seed: int
    device: str

    def graphs(self, integrator: GraphIntegrator, run: int, title: str) -> Arrays:
        """Return the graphs of a run, quantised, and the calls of the scores for each.

        Args:
            integrator: The way from noise to graphs.
            run: Number of the run.
            title: Of the progress bar.

        Returns:
            "adjacency" ``(num_graphs, N, N)``, "sizes" ``(num_graphs,)`` and "calls".
        """
        mask, counted = self._mask(run), _CountedScores(self.scores)
        size = self.batch_size or self.num_graphs
        chunks = -(-self.num_graphs // size)
        bar = StepBar(title)
        found = generate(
            counted,
            mask,
            integrator,
            generator=derive_generator(self.seed, "graphs", run, device=self.device),
            moments=self._start(),
            batch_size=size,
            callback=lambda progress: bar.step(chunks * progress.num_steps),
        )
        bar.close()
        return {
            "adjacency": quantized(found.adjacency).to(torch.uint8).cpu().numpy(),
            "sizes": mask.sum(-1).cpu().numpy(),
            "calls": np.asarray(counted.calls / chunks),
        }

    def trajectory(self, integrator: GraphIntegrator) -> Arrays:
        """Return the noisy adjacency of the first graph of run 0 at moments from noise to graph.

        Returns:
            "trajectory" ``(moments, n, n)`` without padding, "trajectory_times" and
            "trajectory_scales", the factor of the data at these times.
        """
        mask, watched = self._mask(0)[:1], _Watched(integrator)
        generator = derive_generator(self.seed, "graphs", 0, device=self.device)
        generate(self.scores, mask, watched, generator=generator, moments=self._start())
        steps = np.linspace(0, len(watched.seen) - 1, _NUM_MOMENTS).round().astype(int)
        shown = [watched.seen[i] for i in np.unique(steps)]
        size = int(mask.sum())
        times = torch.tensor([t for t, _ in shown], dtype=torch.float64)
        return {
            "trajectory": np.stack([x[0, :size, :size].numpy() for _, x in shown]),
            "trajectory_times": times.numpy(),
            "trajectory_scales": self.scores.system.adjacency.scale(times).numpy(),
        }

    def _start(self) -> GraphMoments | None:
        return self.moments if self.matched_start else None

    def _mask(self, run: int) -> Tensor:
        generator = derive_generator(self.seed, "sizes", run)
        sizes = self.moments.draw_sizes(self.num_graphs, generator=generator)
        # graphs must not depend on the largest size that was drawn
        return size_mask(sizes, max(self.moments.sizes)).to(self.device)


def stored_graphs(arrays: Arrays) -> list[nx.Graph]:
    """Return the graphs of a run, from what ``GraphRuns.graphs`` returns; no isolated nodes."""
    adjacency = torch.from_numpy(arrays["adjacency"]).float()
    mask = size_mask(torch.from_numpy(arrays["sizes"]), adjacency.shape[-1])
    return decode_graphs(GraphState(adjacency.new_zeros(*mask.shape, 1), adjacency, mask))
