"""Solvers of the reverse SDE of graphs: splitting and exponential integrators."""

from __future__ import annotations

import torch
from torch import Tensor

from invdiff.graphs.exponential import Exponential
from invdiff.graphs.gaussian_graphs import GaussianGraphs
from invdiff.graphs.integrator import GraphIntegrator
from invdiff.graphs.reverse_sde import EulerMaruyama
from invdiff.graphs.schedules import VP
from invdiff.graphs.splitting import Splitting
from invdiff.graphs.state import GraphState
from invdiff.graphs.system import GraphSystem
from invdiff.theory.chapter.affine import UnitDraws, law_after
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.orders import order_reading

__all__ = ["FACTS"]

_COUNTS, _END = (12, 20, 32, 48), 0.01


def _graph_error(integrator: GraphIntegrator) -> float:
    """Return the error of the variance of a graph of one node and one feature, N(0.7, 0.25)."""
    clean = torch.tensor([0.7], dtype=torch.float64), torch.full((1, 1), 0.25).double()
    graphs = GaussianGraphs(*clean, 1, 1, GraphSystem(VP(), VP()))

    def run(x: Tensor, draws: UnitDraws) -> Tensor:
        mask = torch.ones(len(x), 1, dtype=torch.bool)
        start = GraphState(x.unsqueeze(-1), torch.zeros_like(x).unsqueeze(-1), mask)
        return integrator.run(graphs, start, draws).nodes.squeeze(-1)  # type: ignore[arg-type]

    _, variance = law_after(run, *graphs.marginal(torch.ones((), dtype=torch.float64)))
    kept = torch.exp(-VP().integral(torch.tensor(_END, dtype=torch.float64)))
    return abs(float(variance) - float(0.25 * kept + 1 - kept))


def _splitting() -> Reading:
    split = [_graph_error(Splitting(n, _END, False, corrector=None)) for n in _COUNTS]
    euler = [_graph_error(EulerMaruyama(n, _END, False)) for n in _COUNTS]
    return order_reading({"S4 splitting": (split, 1.0), "Euler-Maruyama": (euler, 1.0)}, _COUNTS)


def _exponential() -> Reading:
    lines = {
        name: [_graph_error(Exponential(n, _END, noise, denoise=False)) for n in _COUNTS]
        for name, noise in (("reverse SDE", 1.0), ("half of the noise", 0.5))
    }
    return order_reading({name: (errors, 2.0) for name, errors in lines.items()}, _COUNTS)


FACTS = (
    Fact(
        "splitting-order",
        "The symmetric splitting of the reverse SDE holds the score over a step: first order "
        "like Euler-Maruyama, and not always with the smaller constant.",
        r"x' = e^{F/2} e^{S} e^{F/2} x, \qquad |\mathrm{Var}(x_N) - \mathrm{Var}(x_0)| = O(h)",
        ("jo2022",),
        _splitting,
    ),
    Fact(
        "exponential-sde-order",
        "An exponential integrator that continues the denoised image over the step has weak "
        "order two for one call a step, with any amount of noise.",
        r"x' = \tfrac{s'}{s} e^{-\eta^2 h} x + a' (1 - e^{-(1 + \eta^2) h}) \bar D "
        r"+ s' \sqrt{1 - e^{-2 \eta^2 h}}\, z",
        ("lu2022plusplus",),
        _exponential,
    ),
)
