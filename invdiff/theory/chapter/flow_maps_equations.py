"""The two equations of a flow map, and the consistency function that solves one of them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.samplers.base import karras_sigmas
from invdiff.samplers.heun import heun_step
from invdiff.theory.chapter.drawing import COLORS
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import flow_map, from_noise, power
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import correlated, normals, points, tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _lagrangian() -> Reading:
    x, s, t = normals("lagrangian-equation", 64, 2), tensor(0.2), points(0.05, 0.95, 64)
    t.requires_grad_()
    ends = flow_map(x, s, t)
    slope = torch.stack(_gradients(ends, t), -1)
    measured = from_noise().velocity(ends.detach(), t.detach())
    return identity_reading(
        slope, measured, 1e-10, ("d/dt of the map", "velocity where it arrives")
    )


def _eulerian() -> Reading:
    x, s = normals("eulerian-equation", 64, 2), points(0.05, 0.95, 64)
    velocity = from_noise().velocity(x, s)
    x.requires_grad_()
    s.requires_grad_()
    ends = flow_map(x, s, tensor(1.0))
    exact = -torch.stack(_gradients(ends, s), -1)
    measured = (torch.stack(_gradients(ends, x), -2) @ velocity.unsqueeze(-1)).squeeze(-1)
    return identity_reading(
        exact, measured, 1e-10, ("- d/ds of the map", "its Jacobian times velocity")
    )


def _gradients(ends: Tensor, of: Tensor) -> list[Tensor]:
    """Return the derivative of each coordinate, for all points at once."""
    return [torch.autograd.grad(part, of, retain_graph=True)[0] for part in ends.sum(0)]


def _consistency() -> Reading:
    prior, x, levels = correlated(), 10 * normals("consistency", 8, 2), karras_sigmas(200, 10, 0.02)
    ends, guesses = [], []
    for sigma, following in pairwise(levels):
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

    return Reading(float(drift), 0.0, 1e-3, "200 Heun steps, of second order", draw)


def _end(x: Tensor, sigma: Tensor) -> Tensor:
    covariance = tensor([[1.5, 0.9], [0.9, 0.8]])
    noisy = covariance + sigma**2 * torch.eye(2, dtype=torch.float64)
    mean = tensor([1.0, -0.5])
    return mean + (x - mean) @ power(noisy, -0.5) @ power(covariance, 0.5)


FACTS = (
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
