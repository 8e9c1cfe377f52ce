"""Random graphs whose noisy versions and posteriors are known exactly."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.linalg import expand_right
from operators import Mask
from operators.noise import CorrelatedGaussianNoise

__all__ = ["EdgeMixture", "block_mixture"]


class EdgeMixture:
    r"""Graphs of K kinds, in each of which the edges are there independently.

    .. math:: P(a) = \sum_k w_k \prod_e p_{ke}^{a_e} (1 - p_{ke})^{1 - a_e}, \qquad
        D(x, \sigma)_e = \sum_k r_k(x) \operatorname{sigmoid}\Bigl(\operatorname{logit} p_{ke}
        + \frac{x_e - 1/2}{\sigma^2}\Bigr)

    with the probability :math:`r_k(x)` of kind k. The vector x holds the pairs, as
    ``GraphCoordinates`` without features. One kind is a graph of independent edges.

    Args:
        weights: Shape ``(K,)``, positive; normalised to sum 1.
        probabilities: Of the edges, shape ``(K, num_pairs)``, in [0, 1]; give dtype and device.

    Attributes:
        data_range: (0, 1).

    Raises:
        ValueError: Shapes that don't fit, or numbers out of their range.
    """

    data_range = (0.0, 1.0)

    def __init__(self, weights: Tensor, probabilities: Tensor) -> None:
        if probabilities.ndim != 2 or weights.shape != probabilities.shape[:1]:
            raise ValueError(
                "EdgeMixture: expected weights (K,) and probabilities (K, num_pairs), got "
                f"{tuple(weights.shape)} and {tuple(probabilities.shape)}"
            )
        positive = ((weights > 0) & (weights < math.inf)).all()
        if not positive or not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise ValueError(
                "EdgeMixture: expected positive weights and probabilities in [0, 1], got "
                f"{weights.tolist()} and {probabilities.tolist()}"
            )
        weights = weights.to(probabilities)
        self.weights, self.probabilities = weights / weights.sum(), probabilities
        self.image_shape = tuple(probabilities.shape[1:])
        self._present, self._absent = probabilities.log(), torch.log1p(-probabilities)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return E[x0 | x0 + sigma n = x] for x ``(*batch, pairs)``, sigma 0-dim or ``batch``."""
        evidence = self._evidence(x, sigma)
        edges = (self._present - self._absent + evidence).sigmoid()
        kinds = self._log_kinds(evidence).softmax(-1).unsqueeze(-1)
        return (kinds * edges).sum(-2).to(x.dtype)

    def log_prob(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the log density of x0 + sigma n, shape ``batch``; sigma is positive."""
        # a float would lose digits in the default dtype
        dtype, device = self.weights.dtype, self.weights.device
        sigma = torch.as_tensor(sigma, dtype=dtype, device=device)
        deviation = expand_right(sigma, 1)
        # of a graph without edges; the evidence tells what each edge changes
        empty = (x.to(self.weights) / deviation) ** 2 + math.log(2 * math.pi) + 2 * deviation.log()
        return self._log_kinds(self._evidence(x, sigma)).logsumexp(-1) - empty.sum(-1) / 2

    def log_mass(self, graphs: Tensor) -> Tensor:
        """Return the log probability of graphs ``(*batch, pairs)`` of zeros and ones."""
        edges = graphs.unsqueeze(-2) > 0.5
        return self._kinds_of(torch.where(edges, self._present, self._absent)).logsumexp(-1)

    def sample(self, num_samples: int, *, generator: torch.Generator) -> Tensor:
        """Draw graphs of zeros and ones, ``(num_samples, pairs)``."""
        kinds = torch.multinomial(self.weights, num_samples, replacement=True, generator=generator)
        return torch.bernoulli(self.probabilities[kinds], generator=generator)

    def mean(self) -> Tensor:
        """Return the probability of each edge, ``(pairs,)``."""
        return self.weights @ self.probabilities

    def covariance(self) -> Tensor:
        """Return the covariance of the edges, ``(pairs, pairs)``."""
        p = self.probabilities
        within = torch.diag(self.weights @ (p * (1 - p)))
        offset = p - self.mean()
        return within + offset.T @ (self.weights.unsqueeze(-1) * offset)

    def posterior(self, likelihood: Likelihood) -> EdgeMixture:
        r"""Return P(a | y) for one problem in which some pairs were measured: again a mixture.

        With any noise that is independent over the measured pairs,

        .. math:: \operatorname{logit} p'_{ke} = \operatorname{logit} p_{ke} +
            \log \frac{p(y_e | 1)}{p(y_e | 0)}, \qquad w'_k \propto w_k \prod_e
            \bigl(p_{ke}\, p(y_e | 1) + (1 - p_{ke})\, p(y_e | 0)\bigr)

        Raises:
            ValueError: An operator that is no ``Mask``, correlated noise, several problems, or a
                graph of another size.
        """
        one, zero = self._outcomes(likelihood)
        odds = self._present - self._absent + one - zero
        weights = self._kinds_of(torch.logaddexp(self._present + one, self._absent + zero))
        # what precise data rule out may underflow, and a weight must be positive
        tiny = torch.finfo(weights.dtype).tiny
        return EdgeMixture(weights.softmax(0).clamp(min=tiny), odds.sigmoid())

    def log_evidence(self, likelihood: Likelihood) -> Tensor:
        """Return log p(y), 0-dimensional, for what ``posterior`` takes."""
        one, zero = self._outcomes(likelihood)
        either = torch.logaddexp(self._present + one, self._absent + zero)
        return self._kinds_of(either).logsumexp(0)

    def _evidence(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return log N(x; 1, sigma^2) - log N(x; 0, sigma^2), shape ``(*batch, 1, pairs)``."""
        sigma = sigma.to(self.weights)
        variance = expand_right(sigma, 2) ** 2
        return (x.unsqueeze(-2).to(self.weights) - 0.5) / variance

    def _log_kinds(self, evidence: Tensor) -> Tensor:
        """Return log w_k p(x | k) up to the density of the empty graph, shape ``(*batch, K)``."""
        return self._kinds_of(torch.logaddexp(self._present + evidence, self._absent))

    def _kinds_of(self, terms: Tensor) -> Tensor:
        return self.weights.log() + terms.sum(-1)

    def _outcomes(self, likelihood: Likelihood) -> tuple[Tensor, Tensor]:
        """Return log p(y_e | 1) and log p(y_e | 0), 0 where nothing was measured."""
        operator, y = likelihood.operator, likelihood.y.to(self.weights)
        if not isinstance(operator, Mask) or likelihood.batch_shape:
            raise ValueError("EdgeMixture: the posterior is known for one problem with a Mask only")
        if isinstance(likelihood.noise, CorrelatedGaussianNoise):
            raise ValueError("EdgeMixture: the posterior isn't known for correlated noise")
        if operator.in_shape != self.image_shape:
            raise ValueError(
                f"EdgeMixture: has vectors of {self.image_shape}, the operator takes "
                f"{operator.in_shape}"
            )
        one, zero = (
            operator.adjoint(likelihood.noise.log_prob(y, torch.full_like(y, clean)))
            for clean in (1.0, 0.0)
        )
        return one, zero


def block_mixture(
    num_nodes: int, blocks: Tensor, within: float, between: float, weights: Tensor | None = None
) -> EdgeMixture:
    """Return stochastic block models, one for each way in which the nodes may fall into blocks.

    Args:
        num_nodes: n.
        blocks: The block of each node, integers ``(K, n)``.
        within: Probability of an edge within a block.
        between: Probability of an edge between two blocks.
        weights: Of the K ways, positive; None for equal ones.

    Raises:
        ValueError: Blocks of another shape, or numbers out of their range.
    """
    if blocks.ndim != 2 or blocks.shape[1] != num_nodes:
        raise ValueError(
            f"blocks: expected one for each of {num_nodes} nodes, got {tuple(blocks.shape)}"
        )
    i, j = torch.triu_indices(num_nodes, num_nodes, offset=1, device=blocks.device)
    same = blocks[:, i] == blocks[:, j]
    low, high = (
        torch.tensor(v, dtype=torch.float64, device=blocks.device) for v in (between, within)
    )
    if weights is None:
        weights = high.new_ones(len(blocks))
    return EdgeMixture(weights, torch.where(same, high, low))
