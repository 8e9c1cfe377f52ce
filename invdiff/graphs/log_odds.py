"""A denoiser of graphs whose edges are there or not."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from invdiff.graphs.networks import AdjacencyNetwork, NodeNetwork
from invdiff.graphs.state import GraphState, flattened, masked

__all__ = ["LogOddsDenoiser"]


class LogOddsDenoiser(nn.Module):
    r"""Posterior means of binary edges and one-hot node features, by Bayes' rule.

    A noisy entry x of an edge, a in {0, 1}, changes its log odds by :math:`(x - 1/2) / \sigma^2`.
    What the rest of the graph says of it is left to a network,

    .. math:: D_A = \operatorname{sigmoid}\Bigl(\frac{A - 1/2}{\sigma^2}
        + \operatorname{logit} \rho + \mathrm{net}_A\Bigr), \qquad
        D_X = \operatorname{softmax}\Bigl(\frac{X}{\sigma^2} + \mathrm{net}_X\Bigr)

    With networks that return 0 it is exact for edges that are there independently with probability
    :math:`\rho`, and for features that are equally likely. The networks see these first guesses in
    place of the noisy graph, and a feature :math:`\log(\sigma) / 4` at each node. The guess g of an
    edge reaches them as :math:`(g - \rho) / \sqrt{n \rho (1 - \rho)}` in a graph of n nodes: sums
    over neighbours stay of order 1, and don't drown what tells nodes apart, without which nothing
    was learnt. Permutation equivariant.

    Args:
        num_features: F, classes of a node.
        density: :math:`\rho`, in (0, 1).
        node_depth: Layers of the network of the nodes.
        adjacency_depth: Layers of that of the adjacency.
        width: Features of a node within both.
        tell_size: Whether the networks see :math:`\log(n) / 4` at each node as well. Where noise
            hides the edges, nothing else tells them how many nodes there are, and neighbourhoods
            are the denser the smaller they are.

    Raises:
        ValueError: A density that isn't in (0, 1).
    """

    def __init__(
        self,
        num_features: int,
        density: float,
        *,
        node_depth: int = 3,
        adjacency_depth: int = 5,
        width: int = 32,
        tell_size: bool = True,
    ) -> None:
        if not 0 < density < 1:
            raise ValueError(f"density: expected a number between 0 and 1, got {density}")
        super().__init__()
        self.settings = {
            "num_features": num_features,
            "density": density,
            "node_depth": node_depth,
            "adjacency_depth": adjacency_depth,
            "width": width,
            "tell_size": tell_size,
        }
        self.num_features, self.bias = num_features, math.log(density / (1 - density))
        self.tell_size, total = tell_size, num_features + 1 + tell_size
        self.node_network = NodeNetwork(total, node_depth, width)
        self.adjacency_network = AdjacencyNetwork(total, adjacency_depth, width, width)

    def forward(self, state: GraphState, sigma: Tensor) -> GraphState:
        """Return the posterior means for a state of any leading shape; see ``GraphDenoiser``."""
        odds = self.log_odds(state, sigma)
        return masked(GraphState(odds.nodes.softmax(-1), odds.adjacency.sigmoid(), state.mask))

    def log_odds(self, state: GraphState, sigma: Tensor) -> GraphState:
        """Return the logits of the classes of the nodes, and of the edges."""
        flat = flattened(state)
        level = sigma.to(flat.nodes).expand(state.nodes.shape[:-2]).reshape(-1, 1, 1)
        nodes = flat.nodes / level**2
        adjacency = (flat.adjacency - 0.5) / level**2 + self.bias
        told = self._told(nodes, level, flat.mask)
        guess = masked(GraphState(told, self._centred(adjacency, flat.mask), flat.mask))
        nodes = nodes + self.node_network(guess)[..., : self.num_features]
        adjacency = adjacency + self.adjacency_network(guess)
        return GraphState(
            nodes.reshape(state.nodes.shape), adjacency.reshape(state.adjacency.shape), state.mask
        )

    def _told(self, nodes: Tensor, level: Tensor, mask: Tensor) -> Tensor:
        """Return the guessed classes, and what all nodes of a graph share, beside them."""
        shared = [level.log() / 4]
        if self.tell_size:
            shared.append(mask.sum(-1).clamp(min=1).to(level).log()[:, None, None] / 4)
        constants = torch.cat(shared, -1).expand(*nodes.shape[:-1], len(shared))
        return torch.cat([nodes.softmax(-1), constants], -1)

    def _centred(self, adjacency: Tensor, mask: Tensor) -> Tensor:
        density = self.settings["density"]
        # a mask without nodes is padding all over
        spread = (density * (1 - density) * mask.sum(-1).clamp(min=1)).sqrt()
        return (adjacency.sigmoid() - density) / spread[:, None, None]
