"""The density of what a flow samples, exact and with random probes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily, MultivariateNormal

from invdiff.interpolants import (
    Field,
    MixtureProcess,
    OneSided,
    TrigonometricPath,
    integrate_dopri5,
    integrate_ode,
    ode_log_prob,
    standard_normal_log_prob,
    time_grid,
)
from invdiff.priors import GaussianMixturePrior
from invdiff.rng import derive_generator
from invdiff.theory.chapter.fact import Fact, Reading
from invdiff.theory.chapter.identity import identity_reading

__all__ = ["FACTS"]

_WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
_MEANS = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -2.0]], dtype=torch.float64)
_COVARIANCES = torch.tensor(
    [[[0.5, 0.2], [0.2, 0.3]], [[0.2, 0.0], [0.0, 0.6]], [[0.4, -0.1], [-0.1, 0.2]]],
    dtype=torch.float64,
)


def _likelihood() -> Reading:
    """Compare the density of the ODE with the one it must have."""
    x = _points("likelihood", 32)
    parts = MultivariateNormal(_MEANS, _COVARIANCES)
    law: Distribution = MixtureSameFamily(Categorical(_WEIGHTS), parts)
    measured = ode_log_prob(
        _process().velocity,
        x,
        standard_normal_log_prob,
        lambda f, y: integrate_dopri5(f, y, 1.0, 0.0, rtol=1e-7, atol=1e-7).x,
    )
    exact = law.log_prob(x)
    return identity_reading(
        exact,
        measured,
        1e-05,
        ("log density of the law", "of the ODE"),
        "tolerance 1e-7 of the adaptive solver along the path",
    )


def _process() -> MixtureProcess:
    return MixtureProcess(
        OneSided(TrigonometricPath()),
        GaussianMixturePrior(_WEIGHTS, _MEANS, _COVARIANCES),
    )


def _points(label: str, count: int) -> Tensor:
    generator = derive_generator(0, label)
    return 1.5 * torch.randn(count, 2, generator=generator, dtype=torch.float64)


def _volume() -> Reading:
    """Compare the integral of the divergence with the Jacobian of the whole flow."""
    velocity, x, times = _process().velocity, _points("volume", 24), time_grid(200, 0.0, 1.0)
    # the base counts for nothing, so that only the change of volume is left
    measured = ode_log_prob(
        velocity, x, lambda x: torch.zeros(len(x)).to(x), lambda f, y: integrate_ode(f, y, times)
    )
    exact = _log_determinant(velocity, x, times)
    return identity_reading(
        exact,
        measured,
        0.001,
        ("log det of the flow's Jacobian", "integral"),
        "error of second order of 200 Heun steps",
    )


def _log_determinant(velocity: Field, x: Tensor, times: Tensor) -> Tensor:
    """Return log |det dX_1 / dX_0| by differentiation through all steps, ``(batch,)``."""
    x = x.clone().requires_grad_()
    end = integrate_ode(velocity, x, times)
    rows = [torch.autograd.grad(end[:, i].sum(), x, retain_graph=True)[0] for i in range(2)]
    return torch.stack(rows, 1).det().log()


FACTS = (
    Fact(
        "flow-likelihood",
        "The density of a sample is that of the noise it came from, corrected by the divergence "
        "along the way: exact, here for a mixture of three Gaussians.",
        r"\log \rho_1(X_1) = \log \rho_0(X_0) - \int_0^1 \nabla \cdot b(X_t, t)\, dt",
        ("chen2018", "song2021"),
        _likelihood,
    ),
    Fact(
        "change-of-volume",
        "The divergence of the velocity, summed along a path, is the logarithm of the factor by "
        "which the flow stretches volumes.",
        r"\int_0^1 \nabla \cdot b(X_t, t)\, dt = \log \left| \det "
        r"\frac{\partial X_1}{\partial X_0} \right|",
        ("chen2018",),
        _volume,
    ),
)
