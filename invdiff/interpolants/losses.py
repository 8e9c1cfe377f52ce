r"""What the fields of an interpolant minimise; constants are dropped, so a loss may be negative.

.. math::
    L_b = E[\tfrac12 |b|^2 - (\dot I + \gamma' z) \cdot b], \quad
    L_v = E[\tfrac12 |v|^2 - \dot I \cdot v], \quad
    L_s = E[\tfrac12 |s|^2 + \gamma^{-1} z \cdot s], \quad
    L_\eta = E[\tfrac12 |\eta|^2 - z \cdot \eta]

:cite:t:`albergo2023`, theorems 2.7 and 2.8 and section 6.1. The minimum is minus half the mean
square of the true field. 1 / gamma and gamma' blow up at the ends: the pair of +z and -z keeps the
variance of L_b and L_s finite there.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from invdiff.interpolants.couplings import Draw
from invdiff.interpolants.interpolant import MARGIN, Coefficients, Interpolant
from invdiff.interpolants.process import Field

__all__ = [
    "Objective",
    "check_objective",
    "interpolant_loss",
    "regression_loss",
    "unchecked_loss",
    "uniform_times",
]

Objective = Literal["b", "v", "s", "eta"]


def uniform_times(count: int, generator: torch.Generator, margin: float = MARGIN) -> Tensor:
    """Draw one time from each of count equal parts of [margin, 1 - margin], in random order.

    Stratified times are uniform each and make the mean over a batch less noisy.

    Args:
        count: Times.
        generator: On the device.
        margin: Kept from both ends.

    Raises:
        ValueError: No times, or a margin outside of [0, 1/2).
    """
    if count < 1 or not 0 <= margin < 0.5:
        raise ValueError(
            f"uniform_times: expected count >= 1 and margin in [0, 0.5), got {count} and {margin}"
        )
    device = generator.device
    within = torch.rand(count, generator=generator, device=device, dtype=torch.float64)
    part = torch.randperm(count, generator=generator, device=device)
    return margin + (1 - 2 * margin) * (part + within) / count


def interpolant_loss(
    field: Field,
    objective: Objective,
    interpolant: Interpolant,
    draw: Draw,
    t: Tensor,
    z: Tensor,
    *,
    antithetic: bool = True,
) -> Tensor:
    """Return the loss of each pair, ``(batch,)``, summed over the entries of x.

    Args:
        field: ``(x, t) -> (batch, *shape)``; it has been told the condition.
        objective: Which mean it is to become.
        interpolant: Its process.
        draw: The pairs.
        t: ``(batch,)``.
        z: Standard normal, of the shape of x1.
        antithetic: Average over z and -z, at two calls of the field; one if there is no noise.

    Raises:
        ValueError: An unknown objective, or one without a finite target at these times; pairs,
            noise or a field of another shape.
    """
    check_objective(objective, interpolant, t)
    noisy = bool(interpolant.at(t).gamma.any())
    return unchecked_loss(
        field, objective, interpolant, draw, t, z, antithetic=antithetic and noisy
    )


def unchecked_loss(
    field: Field,
    objective: Objective,
    interpolant: Interpolant,
    draw: Draw,
    t: Tensor,
    z: Tensor,
    *,
    antithetic: bool,
) -> Tensor:
    """Return ``interpolant_loss`` without looking at the times, so that no device is waited for."""
    one = _one_sign(field, objective, interpolant, draw, t, z)
    if not antithetic:
        return one
    return (one + _one_sign(field, objective, interpolant, draw, t, -z)) / 2


def _one_sign(
    field: Field, objective: Objective, interpolant: Interpolant, draw: Draw, t: Tensor, z: Tensor
) -> Tensor:
    x = interpolant.point(t, draw.x0, draw.x1, z)
    value = field(x, t.to(x))
    target = _target(objective, interpolant, draw, t, z)
    return regression_loss(value, target)


def regression_loss(value: Tensor, target: Tensor) -> Tensor:
    r"""Return :math:`\tfrac12 |f|^2 - y \cdot f` of each member, ``(batch,)``.

    Its mean is least where f is the mean of the target y.

    Args:
        value: f, ``(batch, *shape)``.
        target: y, of the same shape.

    Raises:
        ValueError: A field of another shape, which would be broadcast.
    """
    if value.shape != target.shape:
        raise ValueError(
            f"expected a field of shape {tuple(target.shape)}, got {tuple(value.shape)}"
        )
    return (value**2 / 2 - target * value).flatten(1).sum(1)


def _target(
    objective: Objective, interpolant: Interpolant, draw: Draw, t: Tensor, z: Tensor
) -> Tensor:
    c: Coefficients = interpolant.at(t).expanded(z)
    if objective == "eta":
        return z
    if objective == "s":
        return -z / c.gamma
    path = interpolant.path_velocity(t, draw.x0, draw.x1)
    return path if objective == "v" else path + c.gamma_dot * z


def check_objective(objective: Objective, interpolant: Interpolant, t: Tensor) -> None:
    """Refuse an objective without a finite target at some of the times.

    Raises:
        ValueError: An unknown objective, or noise, derivatives or a path that it can't be had from.
    """
    c: Coefficients = interpolant.at(t)
    if objective not in get_args(Objective):
        raise ValueError(f"expected an objective of {get_args(Objective)}, got {objective!r}")
    if objective in ("s", "eta") and not c.gamma.all():
        raise ValueError(
            f"the loss of {objective} needs noise: expected gamma > 0 at all times, and gamma of "
            f"{interpolant} is 0 at some"
        )
    if objective == "b" and not c.gamma_dot.isfinite().all():
        raise ValueError(
            f"the loss of b: expected times inside of (0, 1), gamma' of {interpolant} is infinite"
        )
    if objective == "v" and not (c.alpha_dot.any() or c.beta_dot.any()):
        raise ValueError(f"the loss of v: the path of {interpolant} stands still, v is 0")
