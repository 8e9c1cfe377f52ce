"""Conditional generation of a graph of which a part is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invdiff.graphs.coordinates import GraphCoordinates
from invdiff.graphs.state import GraphState, from_pairs
from invdiff.likelihood import Likelihood
from invdiff.priors.denoiser import Denoiser
from invdiff.samplers.base import Generators, Sampler, Samples
from operators import Mask, NoiseModel

__all__ = ["GraphCompletion", "complete_graph", "graph_likelihood"]


@dataclass(frozen=True, eq=False)
class GraphCompletion:
    """Samples of graphs given what was known of them.

    Args:
        coordinates: Of the vectors.
        samples: Of the vectors, ``(num_samples, *problems, size)``, with weights.
    """

    coordinates: GraphCoordinates
    samples: Samples

    def graphs(self) -> GraphState:
        """Return the samples as graphs ``(num_samples, *problems)``; weights stay aside."""
        return self.coordinates.to_state(self.samples.values)

    def edge_probabilities(self) -> Tensor:
        """Return the weighted share of samples with an edge, ``(*problems, n, n)``.

        An entry above 1/2 is an edge.
        """
        pairs = self.samples.values[..., self.coordinates.first_pair :]
        edges = Samples((pairs > 0.5).to(pairs.dtype), self.samples.log_weights)
        return from_pairs(edges.mean(), self.coordinates.num_nodes)


def graph_likelihood(
    coordinates: GraphCoordinates,
    adjacency: Tensor,
    noise: NoiseModel,
    *,
    nodes: Tensor | None = None,
) -> Likelihood:
    """Return the likelihood of the known entries of graphs; NaN stands for an unknown one.

    Args:
        coordinates: Of each graph.
        adjacency: Shape ``(*problems, n, n)``, symmetric; the diagonal isn't read.
        noise: Of the known entries.
        nodes: Features ``(*problems, n, F)``; None where none is known.

    Raises:
        ValueError: A matrix that isn't symmetric, problems of which different entries are known,
            nothing known, or values that the noise model cannot produce.
    """
    same = (adjacency == adjacency.mT) | (adjacency.isnan() & adjacency.mT.isnan())
    if not same.all():
        position = tuple((~same).nonzero()[0].tolist())
        raise ValueError(f"adjacency: expected a symmetric matrix, but not at {position}")
    if nodes is None:
        batch = adjacency.shape[:-2]
        nodes = adjacency.new_full((*batch, *coordinates.node_shape), torch.nan)
    present = torch.ones(nodes.shape[:-1], dtype=torch.bool, device=nodes.device)
    vector = coordinates.to_vector(GraphState(nodes, adjacency, present))
    known = ~vector.isnan()
    mask = known.reshape(-1, coordinates.size)[0]
    if not (known == mask).all():
        raise ValueError("adjacency: the same entries must be known of each graph of a batch")
    operator = Mask(mask)
    return Likelihood(operator, noise, operator(vector))


def complete_graph(
    adjacency: Tensor,
    prior: Denoiser,
    sampler: Sampler,
    num_samples: int,
    *,
    noise: NoiseModel,
    generator: Generators,
    nodes: Tensor | None = None,
) -> GraphCompletion:
    """Draw graphs given the known entries of their adjacency.

    Args:
        adjacency: Shape ``(*problems, n, n)``, symmetric, NaN where it is unknown whether there
            is an edge; problems of a batch have the same unknown pairs.
        prior: On the vectors of ``GraphCoordinates``, such as ``VectorDenoiser``.
        sampler: One of ``invdiff.samplers``.
        num_samples: Graphs, or particles, of each problem.
        noise: How sure the known entries are: ``BinarySymmetricNoise`` for zeros and ones of
            which some are wrong, ``GaussianNoise`` of a small sigma for certain ones.
        generator: One, or one for each problem.
        nodes: Features ``(*problems, n, F)``, NaN where unknown; None where none is known.

    Raises:
        ValueError: A prior whose vectors are no graphs of n nodes; or as ``graph_likelihood``.
    """
    coordinates = _coordinates(prior, adjacency.shape[-1])
    likelihood = graph_likelihood(coordinates, adjacency, noise, nodes=nodes)
    samples = sampler.sample(likelihood, prior, num_samples, generator=generator)
    return GraphCompletion(coordinates, samples)


def _coordinates(prior: Denoiser, num_nodes: int) -> GraphCoordinates:
    pairs = GraphCoordinates(num_nodes)
    shape = prior.image_shape
    if shape is None or len(shape) != 1 or (shape[0] - pairs.size) % num_nodes:
        raise ValueError(f"prior: expected vectors of graphs of {num_nodes} nodes, got {shape}")
    return GraphCoordinates(num_nodes, (shape[0] - pairs.size) // num_nodes)
