"""What makes steps large: straight paths, good grids, and the noise of an ancestral step."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from invdiff.priors import GaussianPrior
from invdiff.samplers import karras_sigmas
from invdiff.samplers.guided import kept_noise
from invdiff.superres.integrators import DDIM, DPMSolverPlusPlus2M, Heun, UniPC2
from invdiff.superres.integrators_base import Denoise, Integrator
from invdiff.theory.chapter.drawing import COLORS, draw_bars, draw_curves, draw_diagonal, draw_order
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.solvers_orders import exact_flow, fitted_order, two_modes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_ROUNDING = "rounding in double precision"


def _f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _straight() -> Reading:
    point, x, sigmas = _f64(0.4), _f64(3.0).unsqueeze(0), _f64(8.0, 0.05)
    prior = GaussianPrior(point, _f64(0.0).unsqueeze(0))
    methods: dict[str, Integrator] = {
        "DDIM": DDIM(), "Heun": Heun(), "DPM++(2M)": DPMSolverPlusPlus2M(), "UniPC": UniPC2(),
    }  # fmt: skip
    exact = 0.4 + 0.05 / 8.0 * (3.0 - 0.4)
    errors = [abs(float(method(prior, x, sigmas)) - exact) for method in methods.values()]
    return Reading(max(errors), 0.0, 1e-12, _ROUNDING, _draw_straight)


def _draw_straight(axes: Axes) -> None:
    sigmas = np.linspace(0.01, 3, 30)
    for color, end in zip(COLORS, (3.0, 0.4, -2.0), strict=False):
        axes.plot(sigmas, 0.4 + sigmas / 3 * (end - 0.4), color=color, linewidth=1.3)
        x = _f64(end).unsqueeze(0)
        curved = [float(exact_flow(two_modes(), x, 3.0, s)) for s in sigmas]
        axes.plot(sigmas, curved, "--", color=color, linewidth=1)
    axes.set(xlabel="sigma", ylabel="x, of one image and (dashed) two modes")


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
    return Reading(
        float((found - exact).abs().max()),
        0.0,
        1e-12,
        _ROUNDING,
        lambda axes: draw_diagonal(axes, exact, found, "DDIM as published", "Euler in sigma"),
    )


def _scaled_denoiser(prior: Denoise, z: Tensor, bar: float) -> Tensor:
    return prior(z / bar**0.5, _f64((1 / bar - 1) ** 0.5).squeeze())


def _karras() -> Reading:
    sigmas = karras_sigmas(18, 80.0, 0.002).numpy()
    exact = np.linspace(80.0 ** (1 / 7), 0.002 ** (1 / 7), 18) ** 7
    return Reading(
        float(np.abs(sigmas / exact - 1).max()),
        0.0,
        1e-12,
        _ROUNDING,
        lambda axes: _draw_grid(axes, sigmas),
    )


def _draw_grid(axes: Axes, sigmas: np.ndarray) -> None:
    axes.semilogy(sigmas, "o", color=COLORS[0], markersize=4, label="rho = 7")
    for rho, color in ((1.0, COLORS[1]), (1e3, COLORS[2])):
        other = karras_sigmas(18, 80.0, 0.002, rho).numpy()
        name = "equal steps in sigma" if rho == 1 else "in log sigma"
        axes.semilogy(other, ".-", color=color, linewidth=1, label=name)
    axes.set(xlabel="step", ylabel="sigma")
    axes.legend(frameon=False, fontsize=7)


def _grid_error() -> Reading:
    prior, high, low = two_modes(), 80.0, 0.002
    x = 80 * torch.linspace(-2, 2, 40, dtype=torch.float64).unsqueeze(1)
    exact = exact_flow(prior, x, high, low)
    rhos = {"sigma^(1/7)": 7.0, "sigma^(1/2)": 2.0, "sigma": 1.0}
    errors = [
        _rms(Heun()(prior, x, karras_sigmas(18, high, low, r)) - exact) for r in rhos.values()
    ]
    return Reading(
        errors[2] / errors[0],
        10.0,
        0.0,
        "ten times is a clear advantage",
        lambda axes: draw_bars(axes, list(rhos), errors, "error of Heun's method, 17 steps"),
        ">=",
    )


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


def _ancestral_noise() -> Reading:
    sigma, low = 2.0, np.linspace(0.1, 1.9, 40)
    steps = [kept_noise(_f64(sigma).squeeze(), _f64(s).squeeze(), 1.0) for s in low]
    kept, fresh = (np.asarray([float(v) for v in values]) for values in zip(*steps, strict=True))
    # x' given x0 has precision 1 / s'^2, and x given x' has 1 / (s^2 - s'^2): both add up
    precision = 1 / low**2 + 1 / (sigma**2 - low**2)
    share = 1 / (sigma**2 - low**2) / precision
    error = max(np.abs(fresh - precision**-0.5).max(), np.abs(kept - share).max())
    return Reading(
        float(error),
        0.0,
        1e-12,
        _ROUNDING,
        lambda axes: draw_curves(
            axes, low, precision**-0.5, {"noise": fresh, "kept share": kept}, "next sigma",
            "of a step from sigma = 2",
        ),
    )  # fmt: skip


def _ancestral_order() -> Reading:
    counts = (50, 100, 200, 400)
    deficits = [_deficit(count) for count in counts]
    steps = 1 / np.asarray(counts)
    return Reading(
        fitted_order(steps, deficits),
        1.0,
        0.1,
        "the next order of the error at these steps",
        lambda axes: draw_order(axes, steps, {"missing variance": (deficits, 1.0)}, "1 / steps"),
    )


def _deficit(count: int) -> float:
    """Return how far the variance of the ancestral chain falls short of N(0, 0.25)."""
    prior, sigmas = GaussianPrior(_f64(0.0), 0.25), karras_sigmas(count + 1, 10.0, 0.01)
    variance = 0.25 + 100.0
    for sigma, low in pairwise(sigmas):
        kept, fresh = kept_noise(sigma, low, 1.0)
        gain = float(prior(_f64(1.0), sigma))
        variance = (gain + float(kept) * (1 - gain)) ** 2 * variance + float(fresh) ** 2
    return 0.25 + 0.01**2 - variance


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
    Fact(
        "karras-grid",
        "The grid of Karras et al. has equal steps in the seventh root of sigma: between equal "
        "steps in sigma and in its logarithm.",
        r"\sigma_i = \bigl(\sigma_{max}^{1/7} + \tfrac{i}{N - 1} (\sigma_{min}^{1/7} "
        r"- \sigma_{max}^{1/7})\bigr)^7",
        ("karras2022",),
        _karras,
    ),
    Fact(
        "karras-grid-error",
        "With as many calls, that grid has a much smaller error than equal steps in sigma, which "
        "spends nearly all of them where nothing happens.",
        r"\|e_{\rho = 1}\| \ge 10\, \|e_{\rho = 7}\|",
        ("karras2022",),
        _grid_error,
    ),
    Fact(
        "ancestral-noise",
        "The noise of an ancestral step of DDPM is the spread of the less noisy image given the "
        "noisier one and the clean one, by Bayes' rule.",
        r"\mathrm{Var}(x' \mid x, x_0) = \Bigl(\tfrac{1}{\sigma'^2} + \tfrac{1}{\sigma^2 - "
        r"\sigma'^2}\Bigr)^{-1} = \sigma'^2 (1 - \sigma'^2 / \sigma^2)",
        ("ho2020",),
        _ancestral_noise,
    ),
    Fact(
        "ancestral-variance-order",
        "That noise leaves out how uncertain the clean image is, so the samples are too narrow; "
        "the missing variance falls in proportion to the step.",
        r"\mathrm{Var}(x_0) - \mathrm{Var}(x_N) = O(1 / N)",
        ("ho2020", "bao2022"),
        _ancestral_order,
    ),
)
