"""Graphs whose in-painting posterior is known, and how far samplers are from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invdiff.graphs.coordinates import GraphCoordinates
from invdiff.graphs.edge_mixture import EdgeMixture
from invdiff.graphs.observations import draw_known_pairs, observe_pairs
from invdiff.likelihood import Likelihood
from invdiff.priors import GaussianPrior
from invdiff.rng import derive_generator
from invdiff.samplers import Sampler, Samples
from invdiff.study.scripted import Arrays
from operators import GaussianNoise

__all__ = ["EXACT_PRIORS", "ExactProblem", "compare", "exact_problem"]

EXACT_PRIORS = ("gaussian", "edges", "mixture")
_NUM_KINDS = {"edges": 1, "mixture": 3}


class ExactProblem(NamedTuple):
    """One partly known graph, with what is known of its posterior.

    Args:
        prior: Of the vectors of graphs; it is the denoiser too.
        likelihood: Of the known pairs.
        mean: Exact, of the features and pairs, or the probabilities of edges.
        covariance: Exact.
        product_variance: Exact, of the products of two deviations from the mean.
        log_evidence: Exact.
        variables: What is compared, from the values of samples.
    """

    prior: Any
    likelihood: Likelihood
    mean: Tensor
    covariance: Tensor
    product_variance: Tensor
    log_evidence: Tensor
    variables: Callable[[Tensor], Tensor]


def exact_problem(
    name: str, num_nodes: int, hidden: float, sigma: float, seed: int
) -> ExactProblem:
    """Draw a prior, a graph and noisy values of its known pairs; float64.

    Args:
        name: One of ``EXACT_PRIORS``.
        num_nodes: Of the graph; a Gaussian one has a feature at each node, which is unknown.
        hidden: Share of the pairs that is unknown.
        sigma: Standard deviation of the noise of the known ones.
        seed: Of all of it.
    """
    generator = derive_generator(seed, "exact", name)
    coordinates = GraphCoordinates(num_nodes, 1 if name == "gaussian" else 0)
    num_hidden = max(1, round(hidden * coordinates.num_pairs))
    operator = observe_pairs(
        coordinates, draw_known_pairs(num_nodes, num_hidden, generator=generator)
    )
    prior: Any
    if name == "gaussian":
        prior = _gaussian(coordinates.size, generator)
    else:
        prior = _mixture(coordinates.num_pairs, _NUM_KINDS[name], generator)
    noise = GaussianNoise(sigma)
    y = noise.sample(operator(prior.sample(1, generator=generator)[0]), generator=generator)
    likelihood = Likelihood(operator, noise, y)
    posterior = prior.posterior(likelihood)
    mean, spread = posterior.mean(), posterior.covariance()
    if name == "gaussian":
        covariance = operator(operator(prior.covariance()).T)
        covariance = covariance + sigma**2 * torch.eye(len(y), dtype=y.dtype)
        evidence = GaussianPrior(operator(prior.mean()), covariance).log_prob(y)
        variables: Callable[[Tensor], Tensor] = torch.clone
        variance = torch.outer(spread.diagonal(), spread.diagonal()) + spread**2
    else:
        evidence, variables = prior.log_evidence(likelihood), _edges
        variance = _binary_products(mean, spread)
    return ExactProblem(prior, likelihood, mean, spread, variance, evidence, variables)


def compare(
    problem: ExactProblem, sampler: Sampler, num_samples: int, repeats: int, *, seed: int
) -> Arrays:
    """Run a sampler again and again on the same data.

    Args:
        problem: What it is asked.
        sampler: Any of the project's.
        num_samples: Of each repeat.
        repeats: Independent ones, at least 2.
        seed: Of the sampler.

    Returns:
        ``mean`` and ``product`` (``repeats``, ...): estimates of the mean and of the second moments
        about the exact mean; ``variance``, within the samples of a repeat; ``evidence`` over the
        exact one, NaN where the sampler estimates none; ``true_mean``, ``true_covariance`` and
        ``product_variance`` of the posterior; and the number of all ``draws``.
    """
    like = problem.likelihood
    y = like.y.expand(repeats, *like.y.shape).clone()
    streams = [derive_generator(seed, "exact sampler", r) for r in range(repeats)]
    samples = sampler.sample(
        Likelihood(like.operator, like.noise, y), problem.prior, num_samples, generator=streams
    )
    values = problem.variables(samples.values.double())
    offset = values - problem.mean
    products = offset.unsqueeze(-1) * offset.unsqueeze(-2)
    chosen = Samples(values, samples.log_weights.double())
    evidence = samples.info.get("log_evidence", torch.full((repeats,), math.nan))
    found = {
        "mean": chosen.mean(),
        "product": Samples(products, chosen.log_weights).mean(),
        "variance": chosen.std() ** 2,
        "evidence": (evidence.double() - problem.log_evidence).exp(),
        "draws": torch.tensor(repeats * num_samples),
        "true_mean": problem.mean,
        "true_covariance": problem.covariance,
        "product_variance": problem.product_variance,
    }
    return {key: value.numpy(force=True) for key, value in found.items()}


def _gaussian(size: int, generator: torch.Generator) -> GaussianPrior:
    """Features and pairs that all depend on each other."""
    factor = torch.randn(size, size, generator=generator, dtype=torch.float64)
    covariance = 0.06 / size * factor @ factor.T + 0.01 * torch.eye(size, dtype=torch.float64)
    return GaussianPrior(torch.full((size,), 0.4, dtype=torch.float64), covariance)


def _mixture(num_pairs: int, num_kinds: int, generator: torch.Generator) -> EdgeMixture:
    weights = torch.rand(num_kinds, generator=generator, dtype=torch.float64) + 0.2
    shares = torch.rand(num_kinds, num_pairs, generator=generator, dtype=torch.float64)
    return EdgeMixture(weights, 0.05 + 0.9 * shares)


def _edges(values: Tensor) -> Tensor:
    return (values > 0.5).double()


def _binary_products(p: Tensor, covariance: Tensor) -> Tensor:
    """Return the variances of (a_i - p_i) (a_j - p_j) of zeros and ones with mean p."""
    # the square of a - p is (1 - 2 p) a + p^2
    slope, square = 1 - 2 * p, p**2
    cross = torch.outer(slope, slope) * (covariance + torch.outer(p, p))
    one_sided = torch.outer(slope * p, square)
    mean_square = cross + one_sided + one_sided.T + torch.outer(square, square)
    # rounding may leave less than nothing of what is nearly certain
    return (mean_square - covariance**2).clamp(min=0)
