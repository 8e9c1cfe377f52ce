"""What choosing the boundary of a diffusion ODE can do, where it is known in closed form."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from invdiff.study.laboratory.boundary_toy_figures import (
    component_figure,
    gain_figure,
    loss_figure,
    order_figure,
)
from invdiff.study.laboratory.boundary_toy_orders import (
    OrderProblem,
    fitted_order,
    gaussian_problem,
    mixture_problem,
)
from invdiff.study.laboratory.boundary_toy_problem import GaussianToy, power_spectrum
from invdiff.study.laboratory.boundary_toy_runs import Searches
from invdiff.study.laboratory.boundary_toy_scores import loss_metrics, loss_table, order_table
from invdiff.study.scripted import Arrays, Metrics, Outcome, ScriptedStudy, Table
from invdiff.study.stages import Stages
from invdiff.superres.grids import Grid
from invdiff.superres.integrators import integrator_named
from invdiff.superres.ode import SuperResolutionOde

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BoundaryToy"]

_PROBLEMS = ("gaussian", "mixture")
_WHERE = ("reference", "held_out")


class BoundaryToy(ScriptedStudy):
    r"""Show the loss :math:`\operatorname{tr} S + x_T^T S x_T` of boundaries, found and known.

    Args:
        dims: Numbers in x.
        decay: a of the posterior variances i^-a.
        references: Pairs of a search.
        held_out: Pairs that judge it.
        candidates: Sizes K of the search.
        repetitions: Of the search, with new pairs and candidates each.
        integrator: Of the searches.
        num_calls: Of the searches.
        grid: Of noise levels, of the searches.
        sigma_max: Of the searches, in half data ranges.
        sigma_min: Of the searches, in half data ranges.
        isotropic: Dimensions of the problems of equal variances.
        decays: Of the further problems.
        gain_repetitions: Searches of each problem but the first.
        reference_counts: Numbers of references that are compared.
        methods: Integrators whose order is measured, and what it should be.
        calls: Network calls, increasing.
        order_batch: Boundaries of each order.
        order_grid: Of noise levels.
        order_sigma_max: Where the integration for the orders starts, in half data ranges.
        order_sigma_min: So low that the last step to 0 does not count, in half data ranges.
    """

    kind: Literal["boundary-toy"] = "boundary-toy"
    dims: int = Field(64, ge=2)
    decay: float = Field(1.5, ge=0)
    references: int = Field(300, ge=2)
    held_out: int = Field(1000, ge=2)
    candidates: tuple[PositiveInt, ...] = Field((10, 100, 1000), min_length=1)
    repetitions: int = Field(100, ge=2)
    integrator: str = "unipc_2"
    num_calls: int = Field(30, ge=2)
    grid: Grid = "log_snr"
    sigma_max: PositiveFloat = 5.0
    sigma_min: PositiveFloat = 0.001
    isotropic: tuple[PositiveInt, ...] = Field((4, 16, 64, 256), min_length=1)
    decays: tuple[float, ...] = Field((0.5, 1.0, 1.5, 2.0, 3.0), min_length=1)
    gain_repetitions: int = Field(20, ge=2)
    reference_counts: tuple[PositiveInt, ...] = Field((3, 10, 30, 100, 300, 1000), min_length=2)
    methods: dict[str, PositiveInt] = Field({"ddim": 1, "dpmpp_2m": 2}, min_length=1)
    calls: tuple[PositiveInt, ...] = Field((8, 16, 32, 64, 128, 256, 512), min_length=4)
    order_batch: PositiveInt = 32
    order_grid: Grid = "edm"
    order_sigma_max: PositiveFloat = 2.0
    order_sigma_min: PositiveFloat = 1e-5

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("candidates", "reference_counts", "calls"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)):
                raise ValueError(f"{name}: expected increasing numbers, got {values}")
        if self.calls[0] < 2:
            raise ValueError(f"calls: expected at least 2, got {self.calls[0]}")
        for method in (self.integrator, *self.methods):
            integrator_named(method)
        for low, high in ("sigma_min", "sigma_max"), ("order_sigma_min", "order_sigma_max"):
            if not getattr(self, low) < getattr(self, high):
                raise ValueError(f"{low}: expected less than {high}")
        return self

    def compute(self, stages: Stages) -> Outcome:
        """Repeat the search, vary spectra and numbers of references, and fit the orders."""
        searches = self._searches(power_spectrum(self.dims, self.decay))
        run = partial(searches.repeat, self.references, self.repetitions)
        found = stages.run("repetitions", run)
        metrics = loss_metrics(found, self.candidates, self.references)
        once = stages.run("integrated", partial(searches.integrate, self.references))
        for count, loss in zip(self.candidates, once["held_out"], strict=True):
            metrics[f"best_of_{count}_integrated"] = float(loss)
        metrics["affine_difference"] = float(once["difference"])
        metrics["integrated_variance"] = float(once["variance"])
        metrics["effective_dims"] = searches.toy.effective_dims
        arrays: Arrays = {"counts": np.array(self.candidates), **found}
        arrays |= self._by_references(stages, searches)
        gains, orders = self._gains(stages), self._orders(stages)
        return Outcome(metrics | gains[0] | orders[0], arrays | gains[1] | orders[1])

    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw losses, gains, what the search finds, and the orders."""
        orders = {
            f"{problem}_{method}": metrics[f"order_{problem}_{method}"]
            for problem in _PROBLEMS
            for method in self.methods
        }
        return {
            "losses": loss_figure(arrays),
            "gain": gain_figure(arrays),
            "components": component_figure(arrays),
            "orders": order_figure(arrays, _PROBLEMS, orders),
        }

    def captions(self) -> dict[str, str]:
        """Say what the figures show."""
        searches = f"{self.repetitions} searches, each with its own {self.references} references"
        return {
            "losses": f"Left: means over {searches}, {self.held_out} held-out pairs and "
            "candidates; the band is the scatter of one search. Right: the loss on the references "
            "is too good by what the loss held out is too bad; thin lines: 1 + 1/R and 1 - 1/R.",
            "gain": f"What the best of K gains over a random boundary, means over "
            f"{self.gain_repetitions} searches. Solid: equal variances, in closed form for "
            "infinitely many references and on to the dimensions of images. Dotted: its limit.",
            "components": f"Means over {searches}: the search makes the few components small that "
            "carry the variance, and leaves the others random.",
            "orders": f"Error of {self.order_batch} images at equal numbers of network calls "
            "against the exact ODE: in closed form, and by an adaptive method of order 8. "
            "Dashed: slopes of orders 1 and 2.",
        }

    def tables(self, metrics: Metrics) -> list[Table]:
        """Return the losses of boundaries and the orders of integrators."""
        return [
            loss_table(metrics, self.candidates, self.references),
            order_table(metrics, _PROBLEMS, self.methods),
        ]

    def summary(self, metrics: Metrics) -> str:
        """Say what the search gains, what no search gains, and how good the integrators are."""
        most = self.candidates[-1]
        name, widest = f"best_of_{most}", max(self.isotropic)
        return (
            f"Where the posterior is Gaussian with {metrics['effective_dims']:.1f} effective "
            f"dimensions, a random boundary has {metrics['random']:.2f} times the least squared "
            f"error, the best of {most} {metrics[name]:.2f} (one search: "
            f"+- {metrics[f'{name}_scatter']:.2f}) and x_T = 0, without a search, "
            f"{metrics['zero']:.2f}. With {widest} equal variances the best of {most} gains "
            f"{metrics['gain_isotropic'][-1][-1]:.2f} of the 1.00 that there is to gain. The "
            f"orders of all integrators are within {metrics['order_off']:.2f} of what they "
            "should be."
        )

    def _searches(self, spectrum: Tensor) -> Searches:
        toy = GaussianToy(spectrum)
        ode = SuperResolutionOde(
            toy.denoiser(),
            self.integrator,
            num_calls=self.num_calls,
            grid=self.grid,
            sigma_max=self.sigma_max,
            sigma_min=self.sigma_min,
        )
        return Searches(toy, ode, self.candidates, self.held_out, self.seed)

    def _gains(self, stages: Stages) -> tuple[Metrics, Arrays]:
        """Return effective dimensions, and gains ``(problems, counts)``, of both kinds."""
        spectra = {
            "isotropic": [power_spectrum(dims, 0.0) for dims in self.isotropic],
            "power": [power_spectrum(self.dims, decay) for decay in self.decays],
        }
        metrics: Metrics = {}
        for kind, members in spectra.items():
            gains, dims = [], []
            for i, spectrum in enumerate(members):
                searches = self._searches(spectrum)
                run = partial(searches.repeat, self.references, self.gain_repetitions)
                found = stages.run(f"{kind}_{i}", run)
                gains.append(found["random_held_out"].mean() - found["best_held_out"].mean(0))
                dims.append(searches.toy.effective_dims)
            metrics |= {f"dims_{kind}": dims, f"gain_{kind}": np.array(gains).tolist()}
        return metrics, {name: np.array(value) for name, value in metrics.items()}

    def _by_references(self, stages: Stages, searches: Searches) -> Arrays:
        """Return losses of the best of most candidates and of the optimum, ``(references,)``."""
        rows = []
        for count in self.reference_counts:
            found = stages.run(
                f"references_{count}", partial(searches.repeat, count, self.gain_repetitions)
            )
            best = [found[f"best_{where}"][:, -1].mean() for where in _WHERE]
            rows.append(best + [found[f"optimum_{where}"].mean() for where in _WHERE])
        names = [f"by_references_{what}_{w}" for what in ("best", "optimum") for w in _WHERE]
        columns = dict(zip(names, np.array(rows).T, strict=True))
        return {"references": np.array(self.reference_counts), **columns}

    def _orders(self, stages: Stages) -> tuple[Metrics, Arrays]:
        """Return fitted orders and last errors, and the errors of all numbers of calls."""
        calls = np.array(self.calls)
        metrics: Metrics = {}
        arrays: Arrays = {"calls": calls}
        off = 0.0
        for name, problem in self._problems().items():
            for method, order in self.methods.items():
                run = partial(
                    problem.errors, method, self.calls, self.order_grid, self.order_sigma_min
                )
                errors = stages.run(f"order_{name}_{method}", run)["errors"]
                fitted = fitted_order(calls, errors)
                off = max(off, abs(fitted - order))
                metrics |= {f"order_{name}_{method}": fitted}
                metrics |= {f"error_{name}_{method}": float(errors[-1])}
                arrays[f"errors_{name}_{method}"] = errors
        return metrics | {"order_off": off}, arrays

    def _problems(self) -> dict[str, OrderProblem]:
        toy = GaussianToy(power_spectrum(self.dims, self.decay))
        choices = self.order_batch, self.order_sigma_max, self.seed
        problems = gaussian_problem(toy, *choices), mixture_problem(*choices)
        return dict(zip(_PROBLEMS, problems, strict=True))
