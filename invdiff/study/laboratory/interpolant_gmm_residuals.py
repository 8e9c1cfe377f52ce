r"""How well the closed forms solve their equations, by automatic differentiation.

With :math:`l = \log \rho`, the equations divided by :math:`\rho` are

.. math::
    \partial_t l + \partial_x b + b\, \partial_x l = 0, \qquad
    \partial_t l + \partial_x b_\pm + b_\pm \partial_x l
        \mp \epsilon (\partial_x^2 l + (\partial_x l)^2) = 0

for :math:`b_\pm = b \pm \epsilon s`, with the score of the closed form in the drift and the
derivatives of the log density in the diffusion.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invdiff.interpolants import Field, MixtureProcess
from invdiff.interpolants.conversions import velocity_from_score
from invdiff.study.scripted import Arrays

__all__ = ["residual_arrays"]


def residual_arrays(
    process: MixtureProcess, epsilons: Sequence[float], points: Tensor, times: Tensor
) -> Arrays:
    """Return residuals over the sum of the sizes of their terms, ``(times, points)`` by name.

    Args:
        process: The closed forms.
        epsilons: Of the Fokker-Planck equations, forwards and backwards.
        points: ``(points,)``.
        times: ``(times,)``, inside of (0, 1).
    """
    t, x = (part.reshape(-1) for part in torch.meshgrid(times, points, indexing="ij"))
    # the sign that the published code has in one place: a residual that must not vanish
    residuals = {"control": _residual(process, _wrong(process), 0.0, x, t)}
    residuals["transport"] = _residual(process, process.velocity, 0.0, x, t)
    for i, epsilon in enumerate(epsilons):
        for name, signed in (("forward", epsilon), ("backward", -epsilon)):
            drift = _drift(process, signed)
            residuals[f"{name}_{i}"] = _residual(process, drift, signed, x, t)
    shape = len(times), len(points)
    return {name: value.reshape(shape).numpy() for name, value in residuals.items()}


def _drift(process: MixtureProcess, signed: float) -> Field:
    return lambda x, t: process.velocity(x, t) + signed * process.score(x, t)


def _wrong(process: MixtureProcess) -> Field:
    """Return v + gamma gamma' s, which is b with a wrong sign."""

    def field(x: Tensor, t: Tensor) -> Tensor:
        v, s = process.path_velocity(x, t), process.score(x, t)
        return velocity_from_score(process.interpolant, v, -s, t)

    return field


def _residual(process: MixtureProcess, drift: Field, signed: float, x: Tensor, t: Tensor) -> Tensor:
    x, t = x.clone().requires_grad_(), t.clone().requires_grad_()
    log_prob = process.log_prob(x.unsqueeze(-1), t)
    by_x, by_t = torch.autograd.grad(log_prob.sum(), (x, t), create_graph=True)
    (twice,) = torch.autograd.grad(by_x.sum(), x, retain_graph=True)
    flow = drift(x.unsqueeze(-1), t).squeeze(-1)
    (divergence,) = torch.autograd.grad(flow.sum(), x)
    terms = (by_t, divergence, flow * by_x, -signed * twice, -signed * by_x**2)
    total, size = torch.stack(terms).sum(0), torch.stack(terms).abs().sum(0)
    return (total.abs() / size).detach()
