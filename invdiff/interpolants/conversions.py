r"""From one field of an interpolant to another.

With v the mean of the path's velocity and eta the mean of the latent noise, given x_t = x:

.. math:: b = v + \gamma' \eta = v - \gamma\gamma' s, \qquad s = -\eta / \gamma

:cite:t:`albergo2023`, section 2. Without x0, :math:`x = \beta E[x_1] + \gamma \eta` and
:math:`b = \beta' E[x_1] + \gamma' \eta` are two equations for two unknowns.
"""

from __future__ import annotations

from torch import Tensor

from invdiff.interpolants.interpolant import Interpolant

__all__ = [
    "noise_from_score",
    "one_sided_noise",
    "one_sided_target",
    "one_sided_velocity",
    "one_sided_velocity_from_score",
    "path_velocity_from_velocity",
    "score_from_noise",
    "velocity_from_noise",
    "velocity_from_score",
]


def score_from_noise(interpolant: Interpolant, eta: Tensor, t: Tensor) -> Tensor:
    """Return s; infinite where gamma is 0."""
    return -eta / interpolant.at(t).expanded(eta).gamma


def noise_from_score(interpolant: Interpolant, s: Tensor, t: Tensor) -> Tensor:
    """Return eta."""
    return -interpolant.at(t).expanded(s).gamma * s


def velocity_from_noise(interpolant: Interpolant, v: Tensor, eta: Tensor, t: Tensor) -> Tensor:
    """Return b from v and eta."""
    return v + interpolant.at(t).expanded(v).gamma_dot * eta


def velocity_from_score(interpolant: Interpolant, v: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """Return b from v and s, finite at the ends as far as they are."""
    return v - interpolant.at(t).expanded(v).gamma_product * s


def path_velocity_from_velocity(
    interpolant: Interpolant, b: Tensor, s: Tensor, t: Tensor
) -> Tensor:
    """Return v from b and s."""
    return b + interpolant.at(t).expanded(b).gamma_product * s


def one_sided_velocity(interpolant: Interpolant, x: Tensor, eta: Tensor, t: Tensor) -> Tensor:
    """Return b from eta alone, for an interpolant without x0; infinite where beta is 0.

    Raises:
        ValueError: The interpolant has an x0.
    """
    _check(interpolant)
    c = interpolant.at(t).expanded(x)
    return c.beta_dot / c.beta * (x - c.gamma * eta) + c.gamma_dot * eta


def one_sided_velocity_from_score(
    interpolant: Interpolant, x: Tensor, s: Tensor, t: Tensor
) -> Tensor:
    """Return b from s alone, for an interpolant without x0; finite where gamma' is not.

    Raises:
        ValueError: The interpolant has an x0.
    """
    _check(interpolant)
    c = interpolant.at(t).expanded(x)
    return c.beta_dot / c.beta * (x + c.gamma**2 * s) - c.gamma_product * s


def one_sided_noise(interpolant: Interpolant, x: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Return eta from b alone, for an interpolant without x0; finite at beta = 0.

    Not for a mirror at a time where gamma' is 0: b says nothing of the noise there.

    Raises:
        ValueError: The interpolant has an x0.
    """
    _check(interpolant)
    c = interpolant.at(t).expanded(x)
    return (c.beta * b - c.beta_dot * x) / (c.beta * c.gamma_dot - c.beta_dot * c.gamma)


def one_sided_target(interpolant: Interpolant, x: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Return E[x1 | x_t = x] from b alone, for an interpolant without x0; finite at gamma = 0.

    Raises:
        ValueError: The interpolant has an x0.
    """
    _check(interpolant)
    c = interpolant.at(t).expanded(x)
    return (c.gamma_dot * x - c.gamma * b) / (c.beta * c.gamma_dot - c.beta_dot * c.gamma)


def _check(interpolant: Interpolant) -> None:
    if interpolant.has_x0:
        raise ValueError("expected an interpolant without x0, such as OneSided")
