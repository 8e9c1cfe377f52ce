"""What networks are trained to predict, and the one denoiser that all of them become."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from invdiff.theory.chapter.drawing import COLORS, GREY
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.laws import ROUNDING, tensor
from invdiff.training import objective_named
from invdiff.training.objective import Noisy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_X, _SIGMA = 0.4, 0.7
_OBJECTIVES = ("ddpm", "edm", "flow", "sample", "v")


def _one_minimum() -> Reading:
    parabolas = {name: _parabola(name) for name in _OBJECTIVES}
    exact = float((tensor(_X) / _SIGMA**2).tanh())
    worst = max(max(abs(p.lowest - exact), p.error) for p in parabolas.values())
    return Reading(worst, 0.0, 1e-9, ROUNDING, lambda axes: _draw_parabolas(axes, parabolas, exact))


def _draw_parabolas(axes: Axes, parabolas: dict[str, _Parabola], exact: float) -> None:
    styles = ("-", "--", ":", "-", "--")
    for (name, p), style, color in zip(parabolas.items(), styles, COLORS, strict=True):
        excess = p.losses - p.losses.min()
        axes.plot(p.denoised, excess, style, color=color, label=name, linewidth=1.5)
    axes.axvline(exact, color=GREY, linewidth=1, label="posterior mean")
    axes.set(xlabel="D(x)", ylabel="loss above its minimum", xlim=(-0.5, 1.8), ylim=(-0.1, 2))
    axes.legend(frameon=False, fontsize=7)


class _Parabola(NamedTuple):
    """Denoised values given x, their losses, where the loss is least, and its largest error."""

    denoised: Tensor
    losses: Tensor
    lowest: float
    error: float


def _parabola(name: str) -> _Parabola:
    objective, sigma = objective_named(name), tensor(_SIGMA).expand(2, 1, 1, 1)
    clean = torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    noisy = Noisy(torch.full_like(clean, _X), sigma)
    posterior = (-((noisy.x - clean) ** 2) / (2 * sigma**2)).flatten().softmax(0)
    targets = _target(name, clean.flatten())

    def at(output: Tensor) -> tuple[Tensor, Tensor]:
        def network(x: Tensor, time: Tensor) -> Tensor:
            return output.expand_as(x)

        denoised = objective.preconditioning.denoise(network, *noisy)
        return denoised[0].squeeze(), posterior @ objective.losses(network, clean, noisy)

    lowest, _ = at(posterior @ targets)
    outputs = torch.linspace(-6, 6, 121, dtype=torch.float64)
    denoised, losses = (torch.stack(p) for p in zip(*map(at, outputs), strict=True))
    plain = (outputs[:, None] - targets) ** 2 @ posterior
    return _Parabola(denoised, losses, float(lowest), float((losses - plain).abs().max()))


def _target(name: str, x0: Tensor, sigma_data: float = 0.5) -> Tensor:
    """Return what the networks of the papers predict, for images x0 behind the same x."""
    noise, total = (_X - x0) / _SIGMA, math.hypot(_SIGMA, sigma_data)
    skipped = x0 - (sigma_data / total) ** 2 * _X
    return {
        "ddpm": noise,
        "sample": x0,
        "v": (noise - _SIGMA * x0) / math.hypot(1, _SIGMA),
        "flow": noise - x0,
        "edm": skipped * total / (_SIGMA * sigma_data),
    }[name]


FACTS = (
    Fact(
        "one-minimum-of-all-objectives",
        "Whether a network predicts the noise, the clean image, v, a velocity or the output of "
        "EDM, its square error is least where the denoised image is the posterior mean. Only the "
        "weights of the levels differ.",
        r"\arg\min_F E \bigl[|F - F_{target}|^2 \bigm| x\bigr] \ \Rightarrow\ "
        r"c_{skip}\, x + c_{out} F = E[x_0 \mid x]",
        ("karras2022", "salimans2022"),
        _one_minimum,
    ),
)
