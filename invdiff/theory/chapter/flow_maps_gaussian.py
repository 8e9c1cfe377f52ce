"""Flow maps in closed form, and as maps: legs of a way, ways back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants.dopri5 import integrate_dopri5
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import flow_map, from_noise
from invdiff.theory.chapter.laws import normals, points, tensor, three_modes, two_modes
from invdiff.theory.chapter.quadrature import share_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_SOLVED = "tolerance 1e-9 of the solver, for each of its steps"


def _solved(process: MixtureProcess, x: Tensor, s: float, t: float) -> Tensor:
    return integrate_dopri5(process.velocity, x, s, t, rtol=1e-9, atol=1e-9).x


def _closed_form() -> Reading:
    x = normals("gaussian-flow-map", 12, 2)
    measured = _solved(from_noise(), x, 0.0, 1.0)
    exact = flow_map(x, tensor(0.0), tensor(1.0))

    def draw(axes: Axes) -> None:
        paths = torch.stack([flow_map(x, tensor(0.0), t) for t in points(0, 1, 40)])
        axes.plot(paths[..., 0], paths[..., 1], color=GREY, linewidth=0.8)
        for name, end, color in (("noise", x, COLORS[1]), ("data", measured, COLORS[0])):
            axes.plot(end[:, 0], end[:, 1], ".", color=color, label=name)
        axes.set(xlabel="x_1", ylabel="x_2")
        axes.legend(frameon=False, fontsize=7)

    return Reading(float((measured - exact).abs().max()), 0.0, 1e-7, _SOLVED, draw)


def _quantiles() -> Reading:
    """Go from 0 to 0.4 and on to 1, which is one map on the line: equal shares below."""
    process, x = MixtureProcess(OneSided(), two_modes()), points(-2.5, 2.5, 41)
    middle = _solved(process, x.unsqueeze(1), 0.0, 0.4)
    measured = _solved(process, middle, 0.4, 1.0)[:, 0]
    below, exact = share_below(two_modes(), measured), torch.special.ndtr(x)
    curves = {"at 0.4": middle[:, 0], "at 1": measured}

    return Reading(
        float((below - exact).abs().max()), 0.0, 1e-7, _SOLVED,
        lambda axes: draw_curves(axes, x, None, curves, "noise", "where it is"),
    )  # fmt: skip


def _round_trip() -> Reading:
    process, x = MixtureProcess(OneSided(), three_modes()), normals("flow-round-trip", 30, 2)
    there = _solved(process, x, 0.0, 1.0)
    back = _solved(process, there, 1.0, 0.0)

    def draw(axes: Axes) -> None:
        lines = torch.stack([x, there])
        axes.plot(lines[..., 0], lines[..., 1], color=GREY, linewidth=0.6)
        axes.plot(there[:, 0], there[:, 1], ".", color=COLORS[0], label="data")
        axes.plot(x[:, 0], x[:, 1], "o", color=COLORS[1], fillstyle="none", label="noise")
        axes.plot(back[:, 0], back[:, 1], ".", color=COLORS[1], markersize=3, label="and back")
        axes.set(xlabel="x_1", ylabel="x_2")
        axes.legend(frameon=False, fontsize=7)

    return Reading(float((back - x).abs().max()), 0.0, 1e-6, _SOLVED, draw)


FACTS = (
    Fact(
        "gaussian-flow-map",
        "The flow from white noise to a Gaussian is affine: it takes off one spread and puts on "
        "another. No path is straight, though its ends are the optimal ones.",
        r"\Psi_{s,t}(x) = \mu_t + S_t^{1/2} S_s^{-1/2} (x - \mu_s)",
        ("boffi2024",),
        _closed_form,
    ),
    Fact(
        "flow-map-semigroup",
        "Two legs make one way. On the line the whole flow keeps the order of points, and "
        "so takes each quantile of the noise to the same quantile of the data.",
        r"\Psi_{u,t} \circ \Psi_{s,u} = \Psi_{s,t} = F_t^{-1} \circ F_s",
        ("boffi2024",),
        _quantiles,
    ),
    Fact(
        "flow-map-inverse",
        "The flow backwards undoes the flow: an image can be encoded as noise and found again.",
        r"\Psi_{t,s} \circ \Psi_{s,t} = \mathrm{id}",
        ("boffi2024", "song2021"),
        _round_trip,
    ),
)
