"""The start of a diffusion ODE as a choice: what is gained by not drawing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from invdiff.priors import GaussianPrior
from invdiff.superres import ExactConditional, SuperResolutionOde, ZeroBoundary
from invdiff.superres.boundary import PosteriorMeanBoundary
from invdiff.theory.chapter.affine import sigma_points
from invdiff.theory.chapter.drawing import COLORS, GREY, draw_bars
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.flow_maps_laws import MEAN, SPREAD, power
from invdiff.theory.chapter.identity import identity_reading
from invdiff.theory.chapter.laws import normals, tensor
from operators import Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_ROW, _NOISE, _Y = tensor([[1.0, 0.5]]), 0.5, tensor([1.6])
_COVARIANCE = torch.linalg.inv(torch.linalg.inv(SPREAD) + _ROW.T @ _ROW / _NOISE**2)
_CENTER = _COVARIANCE @ (torch.linalg.solve(SPREAD, MEAN) + _ROW.T @ _Y / _NOISE**2)
_WHY = "300 steps, and a highest noise level of some 1000 times the spread"


def _ode() -> SuperResolutionOde:
    denoiser = ExactConditional(GaussianPrior(MEAN, SPREAD), Matrix(_ROW), _NOISE)
    return SuperResolutionOde(
        denoiser, "heun", num_calls=601, grid="log_snr", sigma_max=200.0, sigma_min=1e-4
    )


def _map() -> Reading:
    boundary = normals("boundary-map", 40, 2)
    measured = _ode()(boundary, _Y.expand(40, 1))
    exact = _CENTER + boundary @ power(_COVARIANCE, 0.5)
    return identity_reading(
        exact, measured, 0.005, ("posterior mean + S^(1/2) x_T", "end of the ODE"), _WHY
    )


def _risk() -> Reading:
    """Average over starts by sigma points, and over truths in closed form."""
    ode, zero, trace = _ode(), torch.zeros(1, 2).double(), float(_COVARIANCE.trace())
    starts = torch.cat([sigma_points(2), ZeroBoundary(ode.denoiser)(_Y.unsqueeze(0)) + zero])
    ends = ode(starts, _Y.expand(len(starts), 1))
    risks = trace + (ends - _CENTER).square().sum(1)
    drawn, none = float(risks[:-1].mean()), float(risks[-1])
    return Reading(
        drawn / none, 2.0, 1e-2, _WHY,
        lambda axes: draw_bars(
            axes, ["x_T drawn", "x_T = 0", "posterior variance"], [drawn, none, trace],
            "mean square error",
        ),
    )  # fmt: skip


def _posterior_mean() -> Reading:
    ode = _ode()
    end = ode(PosteriorMeanBoundary(ode)(_Y.unsqueeze(0)), _Y.unsqueeze(0))[0]

    def draw(axes: Axes) -> None:
        x = _CENTER + normals("posterior-mean-boundary", 300, 2) @ power(_COVARIANCE, 0.5)
        axes.plot(x[:, 0], x[:, 1], ".", color=COLORS[1], markersize=3, label="posterior")
        axes.plot(*MEAN, "s", color=GREY, label="rough image")
        axes.plot(*end, "o", color=COLORS[0], label="end of the ODE")
        axes.set(xlabel="x_1", ylabel="x_2")
        axes.legend(frameon=False, fontsize=7)

    return Reading(float((end - _CENTER).abs().max()), 0.0, 1e-8, "rounding over 300 steps", draw)


FACTS = (
    Fact(
        "boundary-map",
        "For a Gaussian posterior the ODE is an affine function of its start: all that is random "
        "in a reconstruction is x_T.",
        r"h(x_T, y) = \mu(y) + S^{1/2} x_T",
        ("ma2024",),
        _map,
    ),
    Fact(
        "boundary-risk",
        "A drawn start makes a sample of the posterior, whose mean square error is twice the "
        "posterior variance; the start 0 makes the posterior mean and halves it.",
        r"E |h(x_T, y) - x_0|^2 = 2\, \mathrm{tr}\, S \;\to\; \mathrm{tr}\, S \quad (x_T = 0)",
        ("ma2024",),
        _risk,
    ),
    Fact(
        "boundary-of-the-posterior-mean",
        "Started where the denoiser sees the posterior mean from the highest noise level, the ODE "
        "ends at that mean, also where the rough image is far from it.",
        r"x_T = \frac{D(c, \sigma_{max}, y) - c}{\sigma_{max}} \;\Rightarrow\; h(x_T, y) = \mu(y)",
        ("ma2024",),
        _posterior_mean,
    ),
)
