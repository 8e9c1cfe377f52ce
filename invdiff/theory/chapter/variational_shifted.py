"""A diffusion that is moved by a first reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invdiff.interpolants import bridge_kernel
from invdiff.theory.chapter.drawing import draw_curves
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING
from invdiff.theory.chapter.variational_diffusion import DIFFUSION, chain_times

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]


def _shifted_diffusion() -> Reading:
    times = chain_times(40)
    signal, kernel = DIFFUSION.at(times).beta, bridge_kernel(DIFFUSION, times[:-1], times[1:])
    exact = _shifted_posterior(signal[:-1], signal[1:])
    measured = torch.stack([kernel.target, kernel.current, 1 - kernel.current, kernel.std**2])
    names = ("image", "latent", "reconstruction", "variance")

    def draw(axes: Axes) -> None:
        lines = dict(zip(names, measured, strict=True))
        draw_curves(axes, signal[1:], None, lines, "share of signal", "weight or variance")
        # below, the chain's steps are of another kind
        axes.set(xlim=(0.1, 1))

    return Reading(float((measured - exact).abs().max()), 0.0, 1e-12, ROUNDING, draw)


def _shifted_posterior(now: Tensor, earlier: Tensor) -> Tensor:
    """Condition the joint Gaussian of both shifted latents on the noisier one.

    Returns the weights of the image, of the latent and of the shift, and the variance.
    """
    share = now / earlier
    covariance = share * (1 - earlier**2)
    variance = share**2 * (1 - earlier**2) + 1 - share**2
    gain = covariance / variance
    # means of the two: signal times the image, plus the whole reconstruction
    image, shift = earlier - gain * now, 1 - gain
    return torch.stack([image, gain, shift, 1 - earlier**2 - gain * covariance])


FACTS = (
    Fact(
        "shifted-diffusion",
        "The diffusion of DiffuseVAE, moved by a first reconstruction, is plain DDPM of the "
        "latents less that reconstruction: its posterior has the same two weights.",
        r"E[x_{t-1} \mid x_t, x_0] = c_1 x_0 + c_2 x_t + (1 - c_2) \hat x",
        ("pandey2022", "ho2020"),
        _shifted_diffusion,
    ),
)
