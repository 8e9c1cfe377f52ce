"""What more network calls do to a sample: a greedy search against weighted particles."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from invdiff.interpolants import BestOfN
from invdiff.rng import derive_generator
from invdiff.samplers import Ensemble
from invdiff.study.laboratory.budget_concentration_figures import density_figure, rate_figure
from invdiff.study.laboratory.budget_concentration_problem import (
    METHODS,
    BudgetProblem,
    calls_of_particle,
)
from invdiff.study.sampling import SamplerConfig
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages
from invdiff.theory import spacing_divergence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BudgetConcentration"]

_FLOOR_RUNS = 20


class BudgetConcentration(ScriptedStudy):
    """Show that searches for a reward leave the posterior as they get more calls.

    Args:
        measurement: The datum.
        noise_std: Its noise.
        budgets: Network calls of one sample, increasing.
        shown: Which two of them are drawn as densities.
        num_steps: Of rollover budget forcing and of the draws of best-of-N.
        num_samples: Independent samples for each divergence.
        ensemble: The weighted particles, of which one is taken.
    """

    kind: Literal["budget-concentration"] = "budget-concentration"
    measurement: float = 0.4
    noise_std: PositiveFloat = 1.0
    budgets: tuple[PositiveInt, ...] = Field((60, 120, 240, 480, 960, 1920), min_length=2)
    shown: tuple[PositiveInt, PositiveInt] = (60, 240)
    num_steps: int = Field(20, ge=1)
    num_samples: int = Field(4000, ge=100)
    ensemble: SamplerConfig

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        if list(self.budgets) != sorted(set(self.budgets)):
            raise ValueError(f"budgets: expected increasing numbers, got {self.budgets}")
        if not set(self.shown) <= set(self.budgets):
            raise ValueError(f"shown: expected two of {self.budgets}, got {self.shown}")
        ensemble = self.ensemble.build()
        if not isinstance(ensemble, Ensemble):
            raise ValueError(f"ensemble: expected the kind afdps, got {self.ensemble.kind}")
        lowest = max(calls_of_particle(ensemble), 2 * (self.num_steps + 3))
        if self.budgets[0] < lowest:
            raise ValueError(f"budgets: expected {lowest} calls or more, got {self.budgets[0]}")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Draw with every method at every budget, and measure the divergence."""
        problem, exact = self._problem(), self._problem().posterior()
        ensemble = self._ensemble()
        metrics: Metrics = {"budgets": list(self.budgets)}
        arrays: Arrays = {"budgets": np.array(self.budgets), "shown": np.array(self.shown)}
        for method in METHODS:
            kl, calls, std = [], [], []
            for budget in self.budgets:
                draw = partial(problem.draw, method, budget, ensemble)
                found = stages.run(f"{method}_{budget}", draw)
                kl.append(spacing_divergence(torch.as_tensor(found["x"]).unsqueeze(1), exact))
                calls.append(int(found["calls"]))
                std.append(float(found["x"].std()))
                if budget in self.shown:
                    arrays[f"x_{method}_{budget}"] = found["x"]
            metrics |= {f"kl_{method}": kl, f"calls_{method}": calls, f"std_{method}": std}
            arrays |= {f"kl_{method}": np.array(kl), f"calls_{method}": np.array(calls)}
        numbers = [BestOfN(budget, self.num_steps).num_draws for budget in self.budgets]
        metrics["kl_best-of-n_exact"] = [problem.exact_best_of_n(n) for n in numbers]
        metrics |= {"kl_prior": problem.exact_best_of_n(1), "floor": self._floor()}
        metrics["std_exact"] = float(exact.covariance().sqrt())
        arrays |= {"exact_best-of-n": np.array(metrics["kl_best-of-n_exact"])}
        return Outcome(metrics, arrays | self._densities())

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw the divergence over the calls, and samples beside the exact density."""
        return {
            "divergence_and_calls": rate_figure(metrics, arrays),
            "samples_and_density": density_figure(arrays),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        return {
            "divergence_and_calls": "Divergence from the exact posterior of a sample that had so "
            f"many network calls to itself, from {self.num_samples} of them. Dashed: best-of-N by "
            "quadrature, with exact draws of the prior. Dotted: the prior, which knows no data. "
            "Band: one to two standard deviations of what exact samples give, 0 on average; "
            "values below are drawn on its upper edge.",
            "samples_and_density": "Samples of each method with few and with more calls, and the "
            "exact density (line). Bars that leave the picture are cut.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return one table: budgets in rows, methods in columns."""
        rows = tuple(
            (
                str(budget),
                *(f"{metrics[f'kl_{method}'][i]:.4f}" for method in METHODS),
                f"{metrics['kl_best-of-n_exact'][i]:.4f}",
                *(f"{metrics[f'std_{method}'][i]:.4f}" for method in METHODS),
            )
            for i, budget in enumerate(self.budgets)
        )
        kl, std = (tuple(f"{what} {m}" for m in METHODS) for what in ("KL", "sd"))
        caption = (
            f"KL in nats to the exact posterior; the prior has {metrics['kl_prior']:.3f}, exact "
            f"samples 0 with a standard deviation of {metrics['floor']:.4f}. The exact standard "
            f"deviation is {metrics['std_exact']:.3f}."
        )
        return [
            Table("Divergence and spread", ("calls", *kl, "exact best-of-n", *std), rows, caption)
        ]

    def summary(self, metrics: Metrics) -> str:
        """Say where each method goes."""
        first, last = self.budgets[0], self.budgets[-1]
        ends = {m: (metrics[f"kl_{m}"][0], metrics[f"kl_{m}"][-1]) for m in METHODS}
        return (
            f"From {first} to {last} network calls a sample, the divergence from the exact "
            "posterior goes from {:.3f} to {:.2f} nats with rollover budget forcing, from "
            "{:.3f} to {:.2f} with best-of-N, and from {:.3f} to {:.4f} with weighted "
            "particles".format(*ends["rollover"], *ends["best-of-n"], *ends["ensemble"])
            + f"; the prior alone has {metrics['kl_prior']:.2f}. Searches for a reward end in the "
            "one image that explains the data best, whatever the posterior."
        )

    def _floor(self) -> float:
        """Return the standard deviation of the divergence of exact samples."""
        exact = self._problem().posterior()
        values = [
            spacing_divergence(
                exact.sample(self.num_samples, generator=derive_generator(self.seed, "floor", k)),
                exact,
            )
            for k in range(_FLOOR_RUNS)
        ]
        return float(np.std(values, ddof=1))

    def _densities(self) -> Arrays:
        exact = self._problem().posterior()
        x: NDArray[np.float64] = np.linspace(-3, 3, 601)
        density = exact.log_prob(torch.as_tensor(x).unsqueeze(1)).exp().numpy()
        return {"grid": x, "density": density}

    def _problem(self) -> BudgetProblem:
        return BudgetProblem(
            self.measurement, self.noise_std, self.num_steps, self.num_samples, self.seed
        )

    def _ensemble(self) -> Ensemble:
        ensemble = self.ensemble.build()
        assert isinstance(ensemble, Ensemble)
        return ensemble
