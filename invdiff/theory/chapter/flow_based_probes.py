"""Random probes in place of the whole divergence: their mean, and what they scatter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from invdiff.interpolants import HutchinsonDivergence, hutchinson
from invdiff.rng import derive_generator
from invdiff.theory.chapter.drawing import COLORS, GREY
from invdiff.theory.chapter.fact import Fact, Reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FACTS"]

_Kind = Literal["signs", "gaussian"]
_NUM_PROBES = 60000
# of a linear field; not symmetric
_JACOBIAN = torch.tensor(
    [[1.2, 0.8, -0.3], [-0.2, -0.7, 0.5], [0.9, 0.1, 0.4]], dtype=torch.float64
)


def _mean() -> Reading:
    estimates = _estimates("signs")
    return Reading(
        float(estimates.mean()),
        float(torch.diagonal(_JACOBIAN).sum()),
        4.5 * float(estimates.std()) / _NUM_PROBES**0.5,
        "4.5 standard errors of 60000 probes",
        _draw_running_means,
    )


def _gaussian_variance() -> Reading:
    symmetric = (_JACOBIAN + _JACOBIAN.T) / 2
    return _variance("gaussian", 2 * float((symmetric**2).sum()))


def _signs_variance() -> Reading:
    symmetric = (_JACOBIAN + _JACOBIAN.T) / 2
    off_diagonal = symmetric - torch.diag(torch.diagonal(symmetric))
    return _variance("signs", 2 * float((off_diagonal**2).sum()))


def _variance(kind: _Kind, exact: float) -> Reading:
    squares = _estimates(kind)
    squares = (squares - squares.mean()) ** 2
    return Reading(
        float(squares.mean()),
        exact,
        4.5 * float(squares.std()) / _NUM_PROBES**0.5,
        "4.5 standard errors of 60000 probes",
        lambda axes: _draw_histogram(axes, kind),
    )


def _estimates(kind: _Kind) -> Tensor:
    """Return the divergence as each probe sees it, ``(probes,)``."""
    generator = derive_generator(0, "hutchinson", kind)
    like = torch.zeros(1, 3, dtype=torch.float64)
    probes = hutchinson(like, _NUM_PROBES, kind=kind, generator=generator).probes
    # one probe for each of many points instead of many for one
    alone = HutchinsonDivergence(probes.transpose(0, 1))
    points = torch.ones(_NUM_PROBES, 3, dtype=torch.float64)
    return alone(lambda x, t: x @ _JACOBIAN.T, points, torch.zeros(()))[1]


def _draw_running_means(axes: Axes) -> None:
    number = torch.arange(1, _NUM_PROBES + 1)
    axes.axhline(float(torch.diagonal(_JACOBIAN).sum()), color=GREY, linewidth=4, alpha=0.45)
    kinds: tuple[_Kind, _Kind] = ("signs", "gaussian")
    for color, kind in zip(COLORS, kinds, strict=False):
        running = _estimates(kind).cumsum(0) / number
        axes.semilogx(number.numpy(), running.numpy(), color=color, linewidth=1.2, label=kind)
    axes.set(xlabel="probes", ylabel="mean of the estimates")
    axes.legend(frameon=False, fontsize=7)


def _draw_histogram(axes: Axes, kind: _Kind) -> None:
    estimates = _estimates(kind)
    axes.hist(estimates.numpy(), 80, range=(-6, 10), density=True, color=COLORS[1], alpha=0.8)
    axes.axvline(float(torch.diagonal(_JACOBIAN).sum()), color=COLORS[0], label="divergence")
    axes.set(xlabel=f"estimates of single probes ({kind})", ylabel="density")
    axes.legend(frameon=False, fontsize=7)


FACTS = (
    Fact(
        "hutchinson-is-unbiased",
        "The divergence of a field is the mean of e^T J e over random probes e, which needs one "
        "backward derivative instead of one for each dimension.",
        r"E[e^T J e] = \operatorname{tr} J = \nabla \cdot b, \qquad E[e e^T] = I",
        ("hutchinson1990",),
        _mean,
    ),
    Fact(
        "hutchinson-variance-gaussian",
        "A Gaussian probe scatters by the whole symmetric part of the Jacobian.",
        r"\operatorname{Var}(e^T J e) = 2 \|S\|_F^2, \qquad S = (J + J^T) / 2",
        ("hutchinson1990",),
        _gaussian_variance,
    ),
    Fact(
        "hutchinson-variance-signs",
        "Random signs scatter less: the diagonal, which is what is asked for, is seen exactly.",
        r"\operatorname{Var}(e^T J e) = 2 \sum_{i \ne j} S_{ij}^2",
        ("hutchinson1990",),
        _signs_variance,
    ),
)
