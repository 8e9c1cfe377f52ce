"""Flow maps in closed form, as maps, and as solutions of their two equations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants.dopri5 import integrate_dopri5
from invdiff.interpolants.interpolant import OneSided
from invdiff.interpolants.mixture import MixtureProcess
from invdiff.samplers.base import karras_sigmas
from invdiff.samplers.heun import heun_step
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_curves, draw_diagonal
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import MEAN, SPREAD, from_noise, power
from invdiff.theory.chapter.score_based_laws import (
    ROUNDING,
    correlated,
    normals,
    points,
    tensor,
    three_modes,
    two_bumps,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_SOLVED = "tolerance 1e-9 of the solver, for each of its steps"


def _map(x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Return where the flow takes x ``(*batch, 2)`` from s to t: a shift and two roots."""
    eye = torch.eye(2, dtype=torch.float64)
    gain = power((1 - t) ** 2 * eye + t**2 * SPREAD, 0.5)
    gain = gain @ power((1 - s) ** 2 * eye + s**2 * SPREAD, -0.5)
    return t * MEAN + (x - s * MEAN) @ gain.T


def _solved(process: MixtureProcess, x: Tensor, s: float, t: float) -> Tensor:
    return integrate_dopri5(process.velocity, x, s, t, rtol=1e-9, atol=1e-9).x


def _closed_form() -> Reading:
    x = normals("gaussian-flow-map", 12, 2)
    measured = _solved(from_noise(), x, 0.0, 1.0)
    exact = _map(x, tensor(0.0), tensor(1.0))

    def draw(axes: Axes) -> None:
        paths = torch.stack([_map(x, tensor(0.0), t) for t in points(0, 1, 40)])
        axes.plot(paths[..., 0], paths[..., 1], color=GREY, linewidth=0.8)
        for name, end, color in (("noise", x, COLORS[1]), ("data", measured, COLORS[0])):
            axes.plot(end[:, 0], end[:, 1], ".", color=color, label=name)
        axes.set(xlabel="x_1", ylabel="x_2")
        axes.legend(frameon=False, fontsize=7)

    return Reading(float((measured - exact).abs().max()), 0.0, 1e-7, _SOLVED, draw)


def _quantiles() -> Reading:
    """Go from 0 to 0.4 and on to 1, which is one map on the line: equal shares below."""
    process, x = MixtureProcess(OneSided(), two_bumps()), points(-2.5, 2.5, 41)
    middle = _solved(process, x.unsqueeze(1), 0.0, 0.4)
    measured = _solved(process, middle, 0.4, 1.0)[:, 0]
    off = measured.unsqueeze(1) - tensor([-1.5, 1.0])
    below = (tensor([0.3, 0.7]) * _share(off / tensor([0.2, 0.5]))).sum(1)
    exact = _share(x)
    curves = {"at 0.4": middle[:, 0], "at 1": measured}

    return Reading(
        float((below - exact).abs().max()), 0.0, 1e-7, _SOLVED,
        lambda axes: draw_curves(axes, x, None, curves, "noise at time 0", "where the flow takes it"),
    )  # fmt: skip


def _share(z: Tensor) -> Tensor:
    return (1 + (z / math.sqrt(2)).erf()) / 2


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


def _lagrangian() -> Reading:
    x, s, t = normals("lagrangian-equation", 64, 2), tensor(0.2), points(0.05, 0.95, 64)
    slope = torch.stack([_derivative(x[i], s, t[i]) for i in range(64)])
    exact = torch.stack([_map(x[i], s, t[i]) for i in range(64)])
    measured = from_noise().velocity(exact, t)
    return Reading(
        float((measured - slope).abs().max()), 0.0, 1e-10, ROUNDING,
        lambda axes: draw_diagonal(
            axes, slope, measured, "d/dt of the map", "velocity where it arrives"
        ),
    )  # fmt: skip


def _derivative(x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Return d/dt of the map, both coordinates, by forward differentiation."""
    return torch.autograd.functional.jacobian(lambda u: _map(x, s, u), t)


def _eulerian() -> Reading:
    x, s, end = normals("eulerian-equation", 64, 2), points(0.05, 0.95, 64), tensor(1.0)
    velocity = from_noise().velocity(x, s)
    change, carried = [], []
    for i in range(64):
        of_x, of_s = torch.autograd.functional.jacobian(
            lambda v, u: _map(v, u, end), (x[i], s[i])
        )
        change.append(-of_s)
        carried.append(of_x @ velocity[i])
    exact, measured = torch.stack(change), torch.stack(carried)
    return Reading(
        float((measured - exact).abs().max()), 0.0, 1e-10, ROUNDING,
        lambda axes: draw_diagonal(
            axes, exact, measured, "- d/ds of the map", "its Jacobian times velocity"
        ),
    )  # fmt: skip


def _consistency() -> Reading:
    prior, x, levels = correlated(), 10 * normals("consistency", 8, 2), karras_sigmas(200, 10, 0.02)
    ends, guesses = [], []
    for sigma, following in zip(levels[:-1], levels[1:], strict=True):
        ends.append(_end(x, sigma))
        guesses.append(prior(x, sigma))
        x = heun_step(prior, x, sigma, following)
    found = torch.stack(ends)
    drift = (found - found[0]).abs().max()

    def draw(axes: Axes) -> None:
        denoised = torch.stack(guesses)
        axes.semilogx(levels[:-1], denoised[..., 0], color=COLORS[1], linewidth=0.9)
        axes.semilogx(levels[:-1], found[..., 0], color=COLORS[0], linewidth=1.3)
        axes.plot([], [], color=COLORS[1], label="denoiser")
        axes.plot([], [], color=COLORS[0], label="consistency function")
        axes.set(xlabel="sigma, along eight trajectories", ylabel="x_1")
        axes.legend(frameon=False, fontsize=7)

    return Reading(float(drift), 0.0, 2e-3, "200 Heun steps, of second order", draw)


def _end(x: Tensor, sigma: Tensor) -> Tensor:
    covariance = tensor([[1.5, 0.9], [0.9, 0.8]])
    noisy = covariance + sigma**2 * torch.eye(2, dtype=torch.float64)
    mean = tensor([1.0, -0.5])
    return mean + (x - mean) @ power(noisy, -0.5) @ power(covariance, 0.5)


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
    Fact(
        "flow-map-lagrangian",
        "As the end time moves on, a flow map moves with the velocity of where it has arrived. A "
        "network can be trained on this equation.",
        r"\partial_t \Psi_{s,t}(x) = b(\Psi_{s,t}(x), t)",
        ("boffi2024",),
        _lagrangian,
    ),
    Fact(
        "flow-map-eulerian",
        "As start time and start move along a path together, the end stays. This is the equation "
        "that consistency training solves.",
        r"\partial_s \Psi_{s,t}(x) + \nabla \Psi_{s,t}(x)\, b(x, s) = 0",
        ("boffi2024", "songy2023consistency"),
        _eulerian,
    ),
    Fact(
        "consistency-function",
        "Along a trajectory the consistency function names the same image all the way; the "
        "denoiser, which names the mean of all images that are possible, starts at the prior mean.",
        r"f(x_\sigma, \sigma) = \mu + C^{1/2} (C + \sigma^2)^{-1/2} (x_\sigma - \mu) = x_0",
        ("songy2023consistency", "karras2022"),
        _consistency,
    ),
)
