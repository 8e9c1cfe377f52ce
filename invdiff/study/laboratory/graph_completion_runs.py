"""What samplers and neighbours say of the pairs of partly known graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from invdiff.graphs.completion import complete_graph
from invdiff.graphs.link_scores import link_scores
from invdiff.graphs.scores import GraphDenoiser
from invdiff.graphs.state import pair_indices, to_pairs
from invdiff.graphs.vector_prior import VectorDenoiser
from invdiff.rng import derive_generator
from invdiff.samplers import Sampler
from invdiff.study.laboratory.graph_completion_cases import Case, Task
from invdiff.study.laboratory.graph_completion_reference import community_links, independent_links
from invdiff.study.scripted import Arrays

__all__ = ["CompletionRuns", "joined_links"]


@dataclass(frozen=True, eq=False)
class CompletionRuns:
    """All methods on the cases of one task.

    Args:
        task: What was done to the graphs.
        cases: The graphs.
        density: Share of the pairs of the training graphs that are edges.
        sigma: Standard deviation of the noise that known pairs are taken to have.
    """

    task: Task
    cases: Sequence[Case]
    density: float
    sigma: float

    def sampled(
        self, sampler: Sampler, denoiser: GraphDenoiser, num_samples: int, *, seed: int, device: str
    ) -> Arrays:
        r"""Complete each graph, and return the probabilities of all pairs of all graphs.

        A share of s effective samples is shrunk as if one more had been drawn from independent
        edges of density rho, :math:`(s p + \rho) / (s + 1)`: no finite number of samples shows
        that a link is impossible.

        Args:
            sampler: Any of the project's.
            denoiser: The trained prior.
            num_samples: Or particles, of each graph.
            seed: Of the sampler.
            device: Where to compute.
        """
        links, sizes = [], []
        for k, case in enumerate(self.cases):
            found = complete_graph(
                case.told.to(device),
                VectorDenoiser(denoiser, len(case.told)),
                sampler,
                num_samples,
                noise=self.task.noise(self.sigma),
                generator=derive_generator(seed, "completion", self.task.key, k, device=device),
                nodes=case.nodes.to(device),
            )
            weights = found.samples.log_weights.double().exp()
            size = float(1 / (weights**2).sum())
            shares = to_pairs(found.edge_probabilities()).double().cpu()
            links.append((size * shares + self.density) / (size + 1))
            sizes.append(size)
        return joined_links(links) | {"effective": np.array(sizes)}

    def references(self, *, communities: bool) -> dict[str, Arrays]:
        """Return the probabilities without a network, by method.

        Args:
            communities: Whether the graphs are of two communities; their exact posterior is
                added.
        """
        noise = self.task.noise(self.sigma)
        found = {
            "independent": [independent_links(c.told, noise, self.density) for c in self.cases]
        }
        if communities:
            found["communities"] = [community_links(c.told, noise) for c in self.cases]
        return {name: joined_links(links) for name, links in found.items()}

    def neighbours(self) -> dict[str, Arrays]:
        """Return the scores of pairs by what is told of their neighbours, by method."""
        found = [link_scores(case.told, pair_indices(len(case.told)).mT) for case in self.cases]
        return {name: joined_links([scores[name] for scores in found]) for name in found[0]}


def joined_links(links: Sequence[Tensor]) -> Arrays:
    """Return the pairs of all graphs in one row."""
    return {"links": torch.cat(list(links)).numpy(force=True)}
