"""A mixture on the line seen through noise, and three ways to spend network calls on a sample."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from invdiff.interpolants import BestOfN, RolloverBudget, kl_on_grid
from invdiff.likelihood import Likelihood
from invdiff.linalg import NumericalWarning
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.samplers import Ensemble, Samples
from invdiff.study.scripted import Arrays
from invdiff.theory.chapter.laws import three_modes_on_the_line
from invdiff.theory.marginals import cdf
from operators import GaussianNoise, Matrix

__all__ = ["METHODS", "BudgetProblem", "calls_of_particle"]

METHODS = ("rollover", "best-of-n", "ensemble")
# of the calls, as published
_START_SHARE = 0.1
_NUM_CHAINS = 2


@dataclass(frozen=True)
class BudgetProblem:
    """Three components, of which the datum prefers the middle one.

    Args:
        measurement: The datum.
        noise_std: Its noise.
        num_steps: Of rollover budget forcing and of the draws of best-of-N.
        num_samples: Independent samples of each method.
        seed: Of all random numbers.
    """

    measurement: float
    noise_std: float
    num_steps: int
    num_samples: int
    seed: int

    def prior(self) -> GaussianMixturePrior:
        """Return the mixture."""
        return three_modes_on_the_line()

    def likelihood(self, runs: int | None = None) -> Likelihood:
        """Return the likelihood of the datum, or a batch of equal ones."""
        shape = (1,) if runs is None else (runs, 1)
        y = torch.full(shape, self.measurement, dtype=torch.float64)
        identity = Matrix(torch.eye(1, dtype=torch.float64))
        return Likelihood(identity, GaussianNoise(self.noise_std), y)

    def posterior(self) -> GaussianMixturePrior:
        """Return the exact answer."""
        return self.prior().posterior(self.likelihood())

    def draw(self, method: str, max_calls: int, ensemble: Ensemble) -> Arrays:
        """Return samples of which each had so many calls to itself: "x" and "calls"."""
        if method == "ensemble":
            return self._particles(ensemble, max_calls // calls_of_particle(ensemble))
        generator = derive_generator(self.seed, method, max_calls)
        sampler: RolloverBudget | BestOfN = BestOfN(max_calls, self.num_steps)
        if method == "rollover":
            starts = max(1, int(_START_SHARE * max_calls) // _NUM_CHAINS)
            sampler = RolloverBudget(max_calls, self.num_steps, starts, _NUM_CHAINS)
        samples = sampler.sample(
            self.likelihood(), self.prior(), self.num_samples, generator=generator
        )
        return _arrays(samples.values.squeeze(1), samples.info["num_calls"])

    def exact_best_of_n(self, number: int) -> float:
        r"""Return KL(q_N || posterior) of the best of N draws of the prior, by quadrature.

        Args:
            number: N; the law is that of ``BestOfN``.
        """
        prior, y = self.prior(), self.measurement
        x = torch.linspace(-10, 10, 200_001, dtype=torch.float64)
        distance = (x - y).abs()
        better = cdf(prior, y + distance) - cdf(prior, y - distance)
        log_p = prior.log_prob(x.unsqueeze(1))
        law = number * log_p.exp() * (1 - better).clamp(min=0) ** (number - 1)
        return kl_on_grid(law.log(), self.posterior().log_prob(x.unsqueeze(1)), x)

    def _particles(self, ensemble: Ensemble, count: int) -> Arrays:
        """Return one particle, by weight, of each of many ensembles."""
        streams = [
            derive_generator(self.seed, "ensemble", count, run) for run in range(self.num_samples)
        ]
        likelihood = self.likelihood(self.num_samples)
        with warnings.catch_warnings():
            # that a handful of particles lose their weight is what is measured
            warnings.simplefilter("ignore", NumericalWarning)
            samples = ensemble.sample(likelihood, self.prior(), count, generator=streams)
        return _arrays(self._chosen(samples), count * calls_of_particle(ensemble))

    def _chosen(self, samples: Samples) -> Tensor:
        generator = derive_generator(self.seed, "choice", len(samples.values))
        index = samples.log_weights.double().exp().T.multinomial(1, generator=generator)
        return samples.values.squeeze(-1).T.gather(1, index).squeeze(1)


def calls_of_particle(ensemble: Ensemble) -> int:
    """Return the network calls of one particle."""
    return ensemble.num_steps * (2 + ensemble.num_rejuvenations)


def _arrays(x: Tensor, calls: Any) -> Arrays:
    return {"x": x.double().numpy(), "calls": torch.tensor(calls).numpy()}
