"""Metrics and tables of the study of interpolants between mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from invdiff.interpolants.kl_bounds import FieldErrors
from invdiff.study.scripted import Arrays, Metrics, Table

if TYPE_CHECKING:
    from invdiff.study.laboratory.interpolant_gmm import InterpolantGMM

__all__ = ["bound_metrics", "marginal_metrics", "step_metrics", "tables"]


def step_metrics(key: str, found: Arrays, reference: Sequence[float]) -> Metrics:
    """Return means and scatters of W1, one number for each number of steps.

    Args:
        key: End of the names.
        found: See ``Runs.steps``.
        reference: W1 of one earlier run.
    """
    metrics: Metrics = {}
    for name, values in (("random", found["random"]), ("even", found["even"])):
        metrics[f"w1_{name}_{key}"] = values.mean(1).tolist()
        scatter = values.std(1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
        metrics[f"w1_{name}_scatter_{key}"] = scatter.tolist()
    if reference:
        mean, scatter = (np.array(metrics[f"w1_random{s}_{key}"]) for s in ("", "_scatter"))
        metrics[f"w1_off_{key}"] = (mean / np.array(reference) - 1).tolist()
        metrics[f"w1_z_{key}"] = ((np.array(reference) - mean) / scatter).tolist()
    return metrics


def marginal_metrics(found: Sequence[Arrays], floor: NDArray[Any]) -> Metrics:
    """Return the ratios of W1 to its floor, and the probabilities of as much by chance.

    Args:
        found: For each epsilon, see ``Runs.marginals``.
        floor: W1 of exact samples, ``(times, draws)``.
    """
    metrics: Metrics = {
        "floor": floor.mean(1).tolist(),
        "floor_scatter": floor.std(1, ddof=1).tolist(),
    }
    ratios, chances = [], []
    for i, arrays in enumerate(found):
        values, even = arrays["random"], (arrays["even"] / floor.mean(1)).tolist()
        ratio = (values.mean(1) / floor.mean(1)).tolist()
        test = mannwhitneyu(values, floor, alternative="greater", axis=1)
        metrics |= {f"marginal_ratio_{i}": ratio, f"marginal_p_{i}": test.pvalue.tolist()}
        metrics[f"marginal_even_ratio_{i}"] = even
        ratios += ratio
        chances += test.pvalue.tolist()
    return metrics | {
        "marginal_ratio_min": min(ratios),
        "marginal_ratio_max": max(ratios),
        "marginal_p_min": min(chances),
    }


def bound_metrics(
    key: str,
    kl: NDArray[Any],
    bounds: Mapping[str, NDArray[Any]],
    epsilons: Sequence[float],
    errors: FieldErrors,
) -> Metrics:
    """Return divergences and bounds, their ratios, and the best epsilon of both.

    Args:
        key: End of the names.
        kl: Of the ODE and of each epsilon.
        bounds: "tight" and "loose", for each epsilon.
        epsilons: Increasing.
        errors: Of the fields.
    """
    return {
        f"kl_ode_{key}": float(kl[0]),
        f"kl_{key}": kl[1:].tolist(),
        f"bound_{key}": bounds["tight"].tolist(),
        f"loose_bound_{key}": bounds["loose"].tolist(),
        f"bound_ratio_{key}": (bounds["tight"] / kl[1:]).tolist(),
        f"loose_bound_ratio_{key}": (bounds["loose"] / kl[1:]).tolist(),
        f"bound_best_{key}": errors.best_constant(),
        f"kl_best_{key}": _lowest(np.log(epsilons), np.log(kl[1:])),
    }


def tables(metrics: Metrics, study: InterpolantGMM) -> list[Table]:
    """Return all tables of the study."""
    return [
        _steps_table(metrics, study),
        _marginals_table(metrics, study),
        _bounds_table(metrics, study),
        _ode_table(metrics, study),
        _residual_table(metrics, study),
    ]


def _lowest(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Return exp of where the parabola of the lowest point and its neighbours is lowest."""
    i = int(np.clip(y.argmin(), 1, len(y) - 2))
    a, b, _ = np.polyfit(x[i - 1 : i + 2], y[i - 1 : i + 2], 2)
    lowest = -b / (2 * a) if a > 0 else x[y.argmin()]
    return float(np.exp(np.clip(lowest, x[0], x[-1])))


def _steps_table(metrics: Metrics, study: InterpolantGMM) -> Table:
    rows = []
    for i, choice in enumerate(study.runs):
        gaps = study.gaps if choice.epsilon == 0 else study.gaps[:1]
        sampler = "Heun, ODE" if choice.epsilon == 0 else f"Euler-Maruyama, {choice.epsilon:g}"
        for j, gap in enumerate(gaps):
            key = f"{i}_{j}"
            for k, count in enumerate(choice.steps):
                random, even = (
                    f"{metrics[f'w1_{name}_{key}'][k]:.4f} +- "
                    f"{metrics[f'w1_{name}_scatter_{key}'][k]:.4f}"
                    for name in ("random", "even")
                )
                known = ("", "", "")
                if choice.reference:
                    off, z = (metrics[f"w1_{name}_{key}"][k] for name in ("off", "z"))
                    known = (f"{choice.reference[k]:.3f}", f"{off:+.0%}", f"{z:+.1f}")
                rows.append((sampler, f"{gap:g}", str(count), even, random, *known))
    columns = ("sampler", "ends", "steps", "low noise", "random", "earlier run", "off", "z")
    caption = (
        f"W1 to the exact target. Ends: the equal times go from it to 1 minus it. Random: mean "
        f"and scatter of {study.repetitions} repetitions of {study.num_samples} samples, for "
        f"which exact samples have {metrics['floor'][-1]:.4f} +- "
        f"{metrics['floor_scatter'][-1]:.4f}. Low noise: {study.strata} samples that fill the "
        "law evenly, with two shifts of the noise. Off: of the mean from the earlier single run; "
        "z: of that run from the mean, in scatters."
    )
    return Table("Error of the steps", columns, tuple(rows), caption)


def _marginals_table(metrics: Metrics, study: InterpolantGMM) -> Table:
    rows = tuple(
        (
            f"{epsilon:g}",
            f"{time:g}",
            f"{metrics['floor'][k]:.4f}",
            f"{metrics[f'marginal_ratio_{i}'][k]:.2f}",
            f"{metrics[f'marginal_p_{i}'][k]:.3f}",
            f"{metrics[f'marginal_even_ratio_{i}'][k]:.2f}",
        )
        for i, epsilon in enumerate(study.epsilons)
        for k, time in enumerate(study.times)
    )
    columns = ("epsilon", "t", "W1 of exact samples", "ratio to it", "p", "low-noise ratio")
    caption = (
        f"W1 of {study.repetitions} runs of {study.num_samples} samples to the exact marginal, "
        f"after {study.marginal_steps} steps from 0 to 1, over the mean of {study.floor_draws} "
        "sets of exact samples. p: the one-sided Mann-Whitney test of runs against exact sets. "
        f"Low-noise ratio: one run of {study.strata} samples that fill the law evenly."
    )
    return Table("Marginals", columns, rows, caption)


def _bounds_table(metrics: Metrics, study: InterpolantGMM) -> Table:
    rows = tuple(
        (
            _wave(wave),
            f"{epsilon:g}",
            *(f"{metrics[f'{name}_{i}'][k]:.4f}" for name in ("kl", "bound", "loose_bound")),
            f"{metrics[f'bound_ratio_{i}'][k]:.2f}",
        )
        for i, wave in enumerate(study.waves)
        for k, epsilon in enumerate(study.kl_epsilons)
    )
    columns = ("errors of b, s; k", "epsilon", "KL", "tight bound", "loose bound", "tight / KL")
    best = "; ".join(
        f"{_wave(wave)}: {metrics[f'bound_best_{i}']:.2f} and {metrics[f'kl_best_{i}']:.2f}, the "
        f"KL of the ODE is {metrics[f'kl_ode_{i}']:.4f}"
        for i, wave in enumerate(study.waves)
    )
    caption = (
        "KL of the exact target to the law of the SDE with wrong fields. Tight: of the error of "
        "the drift as a whole; loose: of both errors apart. The epsilon of the smallest bound "
        f"and of the smallest KL: {best}. With half the cells and steps the KL changes by at most "
        f"{metrics['kl_change_with_resolution']:.1e} of it; without errors it is "
        f"{metrics['kl_without_error']:.0e}."
    )
    return Table("Divergence and bound", columns, rows, caption)


def _ode_table(metrics: Metrics, study: InterpolantGMM) -> Table:
    rows = tuple(
        (
            f"{wavenumber:g}",
            f"{metrics['ode_kl'][k]:.4f}",
            *(
                f"{metrics['ode_sde_kl'][i][k]:.5f} <= {metrics['ode_sde_bound'][i][k]:.5f}"
                for i in range(len(study.ode_epsilons))
            ),
        )
        for k, wavenumber in enumerate(study.ode_wavenumbers)
    )
    columns = ("k", "ODE", *(f"SDE, {epsilon:g}" for epsilon in study.ode_epsilons))
    caption = (
        f"KL for a velocity error of root mean square {study.ode_error:g} along waves of "
        "wavenumber k, k = 0 being constant; N(0, 1) to N(1, 1/2)."
    )
    return Table("No bound for the ODE", columns, rows, caption)


def _residual_table(metrics: Metrics, study: InterpolantGMM) -> Table:
    equations = study.equations()
    rows = tuple((title, f"{metrics[f'residual_{name}']:.1e}") for name, title in equations.items())
    caption = (
        "Largest residual on a grid of x and t, over the sum of the sizes of the terms there; "
        "float64. Control: the velocity with a wrong sign of its score term."
    )
    return Table("Residuals", ("equation", "residual"), rows, caption)


def _wave(wave: Any) -> str:
    return f"{wave.velocity:g}, {wave.score:g}; {wave.wavenumber:g}"
