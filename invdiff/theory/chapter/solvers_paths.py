"""What makes steps large: straight paths, and the variable in which they are taken."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from invdiff.priors import GaussianPrior
from invdiff.superres.integrators import DDIM, DPMSolverPlusPlus2M, Heun, Integrator, UniPC2
from invdiff.superres.integrators_base import Denoise
from invdiff.theory.chapter.drawing import COLORS
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import ROUNDING, tensor, two_modes
from invdiff.theory.chapter.quadrature import exact_flow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _straight() -> Reading:
    point, x, sigmas = tensor([0.4]), tensor([[3.0]]), tensor([8.0, 0.05])
    prior = GaussianPrior(point, tensor([[0.0]]))
    methods: dict[str, Integrator] = {
        "DDIM": DDIM(), "Heun": Heun(), "DPM++(2M)": DPMSolverPlusPlus2M(), "UniPC": UniPC2(),
    }  # fmt: skip
    exact = 0.4 + 0.05 / 8.0 * (3.0 - 0.4)
    errors = [abs(float(method(prior, x, sigmas)) - exact) for method in methods.values()]
    return Reading(max(errors), 0.0, 1e-12, ROUNDING, _draw_straight)


def _draw_straight(axes: Axes) -> None:
    sigmas = np.linspace(0.01, 3, 30)
    for color, end in zip(COLORS, (3.0, 0.4, -2.0), strict=False):
        axes.plot(sigmas, 0.4 + sigmas / 3 * (end - 0.4), color=color, linewidth=1.3)
        x = tensor([[end]])
        curved = [float(exact_flow(two_modes(), x, 3.0, s)) for s in sigmas]
        axes.plot(sigmas, curved, "--", color=color, linewidth=1)
    axes.set(xlabel="sigma", ylabel="x (dashed: of two modes)")


def _ddim_identity() -> Reading:
    prior, bars = two_modes(), np.linspace(0.02, 0.98, 12)
    sigmas = torch.from_numpy(np.sqrt(1 / bars - 1))
    x = torch.linspace(-3, 3, 9, dtype=torch.float64).unsqueeze(1)
    z = x * bars[0] ** 0.5
    for a, b in pairwise(bars):
        # the published step, of images scaled by the root of alpha bar and of the noise
        noise = (z - a**0.5 * _scaled_denoiser(prior, z, a)) / (1 - a) ** 0.5
        z = b**0.5 * (z - (1 - a) ** 0.5 * noise) / a**0.5 + (1 - b) ** 0.5 * noise
    exact = z / bars[-1] ** 0.5
    found = DDIM()(prior, x, sigmas)
    return identity_reading(exact, found, 1e-12, ("DDIM as published", "Euler in sigma"))


def _scaled_denoiser(prior: Denoise, z: Tensor, bar: float) -> Tensor:
    return prior(z / bar**0.5, tensor([(1 / bar - 1) ** 0.5]).squeeze())


FACTS = (
    Fact(
        "straight-paths-one-step",
        "Towards a single image the path is straight in sigma, and one step is exact, whatever "
        "the method: the curvature that costs steps comes from the width of the prior.",
        r"D = m \implies x(\sigma') = m + \tfrac{\sigma'}{\sigma} (x - m)",
        ("karras2022",),
        _straight,
    ),
    Fact(
        "ddim-is-euler-in-sigma",
        "DDIM, published for images scaled by the root of alpha bar, is Euler's method in sigma "
        "for images that are not scaled.",
        r"x / \sqrt{\bar\alpha} = x_0 + \sigma n, \quad \sigma = \sqrt{1 / \bar\alpha - 1}: \qquad "
        r"x' = x + (\sigma' - \sigma) \frac{x - D}{\sigma}",
        ("song2021ddim", "karras2022"),
        _ddim_identity,
    ),
)
