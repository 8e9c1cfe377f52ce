"""Methods that correct the denoised image by the data: what they reach in the end."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from invdiff.likelihood import Likelihood
from invdiff.priors import AR1VolumePrior, GaussianPrior, half_range
from invdiff.rng import derive_generator
from invdiff.samplers import DAPS, DDNM, RedDiff, karras_sigmas
from invdiff.samplers.guided import kept_noise
from invdiff.superres.integrators import UniPC2
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_bars, draw_curves, draw_diagonal
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.solvers_affine import UnitDraws, law_of_sampler
from invdiff.volumes import KnownSlices, PinnedSlices
from operators import GaussianNoise, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


_CORRELATIONS = np.asarray([0.1, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95])


def _replacement() -> Reading:
    rho = _CORRELATIONS
    means, exact = [_filled_in(r) for r in rho], (1 - np.sqrt(1 - rho**2)) / rho
    curves: dict[str, ArrayLike] = {"replacement": means, "conditional mean": rho}
    return Reading(
        means[4],
        float(exact[4]),
        0.01,
        "an error in proportion to the step, of 300 steps",
        lambda axes: draw_curves(
            axes, rho, exact, curves, "correlation", "mean next to a pixel at 1"
        ),
    )


def _filled_in(rho: float) -> float:
    """Return the mean of a pixel beside a known one, at 1, that is replaced at every step."""
    prior = GaussianPrior(_f64(0.0, 0.0), _f64(1.0, rho, rho, 1.0).reshape(2, 2))
    mean = _f64(0.0)
    for sigma, following in pairwise(karras_sigmas(301, 100.0, 1e-3)):
        # every step is affine, so that the mean of the noise gives the mean of the next state
        x = torch.cat([mean, _f64(1.0)])
        kept, _ = kept_noise(sigma, following, 1.0)
        denoised = prior(x, sigma)
        mean = (denoised + kept * (x - denoised))[:1]
    return float(mean)


def _pinned() -> Reading:
    laws = np.asarray([_given_neighbour(r) for r in _CORRELATIONS])
    exact = np.stack([_CORRELATIONS, np.sqrt(1 - _CORRELATIONS**2)], 1)
    return Reading(
        float(np.abs(laws - exact).max()),
        0.0,
        1e-3,
        "the error of the solver and of a start at a finite noise level",
        lambda axes: _draw_pinned(axes, laws),
    )


def _draw_pinned(axes: Axes, laws: NDArray[np.float64]) -> None:
    rho = np.linspace(0, 0.99, 100)
    axes.plot(rho, rho, rho, np.sqrt(1 - rho**2), color=GREY, linewidth=4, alpha=0.45)
    for name, values, color in zip(("mean", "standard deviation"), laws.T, COLORS, strict=False):
        axes.plot(_CORRELATIONS, values, "o", color=color, markersize=4, label=name)
    axes.set(xlabel="correlation", ylabel="of a slice next to one at 1")
    axes.legend(frameon=False, fontsize=7)


def _given_neighbour(rho: float) -> tuple[float, float]:
    """Return mean and standard deviation of a slice beside a pinned one, at 1."""
    known = KnownSlices(torch.tensor([False, True]), torch.ones(2, 1, 1, dtype=torch.float64))
    pinned = PinnedSlices(AR1VolumePrior((2, 1, 1), rho), known)
    sigmas = torch.cat([karras_sigmas(120, 3000.0, 1e-3), _f64(0.0)])
    # the mean of the start, and a point one standard deviation from it
    x = torch.tensor([0.0, 3000.0], dtype=torch.float64).reshape(2, 1, 1, 1).expand(2, 2, 1, 1)
    centre, edge = UniPC2()(pinned, x, sigmas)[:, 0].flatten().tolist()
    return centre, edge - centre


def _range() -> Reading:
    generator = derive_generator(0, "ddnm-range")
    a, truth = (torch.randn(*n, generator=generator, dtype=torch.float64) for n in ((3, 6), (6,)))
    likelihood = Likelihood(Matrix(a), GaussianNoise(0.1), a @ truth)
    prior = GaussianPrior(torch.zeros(6, dtype=torch.float64), 1.0)
    sampler = DDNM(20, noise_free=True, clip=False)
    x = sampler.sample(likelihood, prior, 8, generator=generator).values
    found, exact = likelihood.operator(x), likelihood.y.expand(8, 3)
    return Reading(
        float((found - exact).abs().max()),
        0.0,
        1e-9,
        "rounding in double precision",
        lambda axes: draw_diagonal(axes, exact, found, "y", "A x of 8 samples"),
    )


def _square_root() -> Reading:
    # N(0, 1/4) and a datum of the same variance
    prior = GaussianPrior(_f64(0.0), 0.25)
    likelihood = Likelihood(Matrix(_f64(1.0).unsqueeze(0)), GaussianNoise(0.5), _f64(0.4))
    variances = [
        _daps_variance(prior, likelihood, num_ode_steps=n, solver=solver)
        for n, solver in ((5, "heun"), (1, "euler"))
    ]
    names = ["p(y | x) p(x)^(1/2)", "DAPS", "DAPS of one ODE step", "posterior"]
    bars = [1 / (4 + 2), *variances, 1 / (4 + 4)]
    return Reading(
        variances[0],
        1 / (4 + 2),
        2e-3,
        "an error in proportion to the step and to the last noise level",
        lambda axes: draw_bars(axes, names, bars, "variance"),
    )


def _daps_variance(prior: GaussianPrior, likelihood: Likelihood, **settings: object) -> float:
    sampler = DAPS(
        150, sigma_max=10.0, sigma_min=0.01, ode_sigma_min=1e-5, inner="exact", clip=False,
        **settings,  # type: ignore[arg-type]
    )  # fmt: skip
    start = (half_range(prior) * 10.0) ** 2 * torch.eye(1, dtype=torch.float64)
    return float(law_of_sampler(sampler, likelihood, prior, _f64(0.0), start)[1])


def _red_diff() -> Reading:
    levels, variance = np.geomspace(0.07, 1, 20), 0.25
    prior = GaussianPrior(_f64(0.2), variance)
    likelihood = Likelihood(Matrix(_f64(1.0).unsqueeze(0)), GaussianNoise(0.3), _f64(0.9))
    half, precision = half_range(prior), 1 / 0.3**2
    found = _fixed_points(levels, prior, likelihood)
    # lambda f(s) / (s b^2) pulls towards D, which is s^2 b^2 / (v + s^2 b^2) of the way to m
    pulls = 0.1 * levels**-3 * levels**2 / (variance + (half * levels) ** 2)
    exact = (precision * 0.9 + pulls * 0.2) / (precision + pulls)
    posterior = (precision * 0.9 + 0.2 / variance) / (precision + 1 / variance)
    curves: dict[str, ArrayLike] = {
        "RED-diff": found,
        "posterior mean": np.full(20, posterior),
    }
    return Reading(
        float(np.abs(found - exact).max()),
        0.0,
        1e-6,
        "iterations that have not quite converged",
        lambda axes: draw_curves(axes, levels, exact, curves, "noise level", "fixed point"),
    )


def _fixed_points(
    levels: NDArray[np.float64], prior: GaussianPrior, likelihood: Likelihood
) -> NDArray[np.float64]:
    """Return where RED-diff comes to rest at each noise level, on average over its noise."""
    sampler, count = RedDiff(regularization=0.1, relaxation=0.9, clip=False), len(levels)
    state = sampler.init(likelihood, prior, count, generator=derive_generator(0, "red-diff"))
    # draws of 0: every step is affine in its noise
    state = state._replace(streams=UnitDraws(count, count))  # type: ignore[arg-type]
    for _ in range(600):
        state, _ = sampler.step(state, torch.from_numpy(levels), likelihood, prior)
    return np.asarray(state.mu.squeeze(-1))


FACTS = (
    Fact(
        "replacement-biased",
        "Filling in by overwriting the known pixels with noisy data at every step does not "
        "sample the conditional law: next to a known 1, correlated by 0.8, the mean is 0.5 "
        "instead of 0.8.",
        r"E[x_1] = \frac{1 - \sqrt{1 - \rho^2}}{\rho}\, x_2 \ne \rho\, x_2",
        ("song2021", "wu2023"),
        _replacement,
    ),
    Fact(
        "pinned-slices-conditional",
        "With the known slice at noise 0 and the other at its own level, the flow ends with the "
        "conditional law: both its mean and its standard deviation.",
        r"x_1 \mid x_2 \sim N(\rho x_2, 1 - \rho^2)",
        ("liu2024",),
        _pinned,
    ),
    Fact(
        "ddnm-range",
        "DDNM puts the data into the range of A exactly, and leaves the null space to the prior.",
        r"x = A^+ y + (1 - A^+ A) D \implies A x = y",
        ("wang2023",),
        _range,
    ),
    Fact(
        "daps-square-root-of-the-prior",
        "DAPS with its ODE samples the data times the square root of the prior, since the end of "
        "the ODE is half as far as the posterior mean: a variance of 1/6 instead of 1/8.",
        r"q(x) \propto p(y \mid x)\, p(x)^{1/2}",
        ("zhang2025",),
        _square_root,
    ),
    Fact(
        "red-diff-fixed-point",
        "RED-diff comes to rest where the data and the pull of its weighting balance: for a "
        "Gaussian prior the posterior mean of another prior variance at every noise level.",
        r"\mu = \frac{y / R + w m}{1 / R + w}, \qquad w = \frac{\lambda f(s)}{s\, b^2} "
        r"\frac{s^2 b^2}{v + s^2 b^2}",
        ("mardani2024",),
        _red_diff,
    ),
)
