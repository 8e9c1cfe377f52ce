"""Metrics and tables of the study of many dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from invdiff.interpolants.diffusion import ConstantEpsilon
from invdiff.interpolants.kl_bounds import FieldErrors, KlEstimate, kl_monte_carlo
from invdiff.study.scripted import Arrays, Metrics, Table

__all__ = ["ESTIMATES", "best_metrics", "error_metrics", "kl_table", "sampler_metrics"]

#: estimates of the divergence, and how they are called in tables and figures
ESTIMATES = {
    "paths": "density, all paths",
    "path": "density, one path",
    "steps": "steps alone",
    "moments": "moments of samples",
}


def sampler_metrics(rows: Sequence[Arrays]) -> Metrics:
    """Return each estimate and its standard error, a list over samplers.

    Args:
        rows: For each sampler the log ratios or pseudovalues, whose means are the estimates.
    """
    metrics: Metrics = {}
    for name in rows[0].keys() & ESTIMATES.keys():
        estimates = [_mean(row[name]) for row in rows]
        metrics[f"kl_{name}"] = [estimate.value for estimate in estimates]
        metrics[f"kl_{name}_se"] = [estimate.standard_error for estimate in estimates]
    return metrics


def best_metrics(epsilons: Sequence[float], rows: Sequence[Arrays], ode: Arrays) -> Metrics:
    """Return where each estimate is least, and how much higher it is at the ends of the grid."""
    metrics: Metrics = {}
    for name in ("paths", "path", "moments"):
        best = int(np.argmin([row[name].mean() for row in rows]))
        metrics[f"best_{name}"] = epsilons[best]
        others = {"first": rows[0], "last": rows[-1]} | ({"ode": ode} if name in ode else {})
        for end, row in others.items():
            rise = _mean(row[name] - rows[best][name])
            metrics |= {f"rise_{end}_{name}": rise.value}
            metrics |= {f"rise_{end}_{name}_se": rise.standard_error}
    return metrics


def error_metrics(errors: FieldErrors, epsilons: Sequence[float]) -> Metrics:
    """Return the integrals of the errors, what they bound, and the best epsilon they say."""
    amounts = [ConstantEpsilon(e) for e in epsilons]
    times = errors.times.to(errors.velocity)
    schedule = errors.best_schedule()
    return {
        "error_velocity": float(torch.trapezoid(errors.velocity, times)),
        "error_score": float(torch.trapezoid(errors.score, times)),
        "error_cross": float(torch.trapezoid(errors.cross, times)),
        "predicted_epsilon": errors.best_constant(),
        "drift_bound": [errors.drift_bound(e) for e in amounts],
        "bound": [errors.bound(e) for e in amounts],
        "drift_bound_schedule": errors.drift_bound(schedule),
        "bound_schedule": errors.bound(schedule),
    }


def kl_table(metrics: Metrics, epsilons: Sequence[float]) -> Table:
    """Return one row a sampler, one column an estimate or bound."""
    rows = [
        (
            f"SDE, {e:g}",
            *(_cell(metrics[f"kl_{name}"][i], metrics[f"kl_{name}_se"][i]) for name in ESTIMATES),
            f"{metrics['drift_bound'][i]:.1f}",
            f"{metrics['bound'][i]:.1f}",
        )
        for i, e in enumerate(epsilons)
    ]
    scheduled = (
        _cell(metrics[f"schedule_kl_{name}"][0], metrics[f"schedule_kl_{name}_se"][0])
        for name in ESTIMATES
    )
    bounds = (f"{metrics[f'{name}_schedule']:.1f}" for name in ("drift_bound", "bound"))
    rows.append(("SDE, best epsilon(t)", *scheduled, *bounds))
    density, moments = (
        _cell(metrics[f"ode_{name}"], metrics[f"ode_{name}_se"]) for name in ("paths", "moments")
    )
    rows.append(("ODE", density, "", "", moments, "none", "none"))
    caption = (
        "KL(truth || sampled) in nats, with standard errors. Density: of the SDE by backward paths "
        "of the learned fields, a bound from above that is the tighter the more paths; of the ODE "
        "itself. Steps alone: the density by one path for exact "
        "fields. Moments of samples: of those of each mode, blind to what is not normal in it. "
        "All samplers use the same networks, points and noise."
    )
    columns = ("sampler, epsilon", *ESTIMATES.values(), "bound of the drift", "bound of b and s")
    return Table("Divergence and epsilon", columns, tuple(rows), caption)


def _mean(values: NDArray[np.float64]) -> KlEstimate:
    tensor = torch.from_numpy(values)
    return kl_monte_carlo(tensor, torch.zeros_like(tensor))


def _cell(value: float, error: float) -> str:
    return f"{value:.2f} +- {error:.2f}"
