"""Table and summary of the checkerboard study."""

from __future__ import annotations

from collections.abc import Mapping

from invdiff.study.laboratory.interpolant_checkerboard_runs import SdeRun
from invdiff.study.scripted import Metrics, Table

__all__ = ["sample_table", "summary_text"]

_NOISE = {"constant": "c", "matched": "c (1 - t) / t"}


def sample_table(
    metrics: Metrics, runs: Mapping[str, SdeRun | None], ode: str, caption: str
) -> Table:
    """Return one row for each way to draw samples.

    Args:
        metrics: With "kl_NAME", "kl_error_NAME", "off_NAME", "log_density_NAME", "bound_NAME".
        runs: By name, None for the ODE.
        ode: How the ODE is solved.
        caption: Of the table.
    """
    rows = [("true samples", "", "", *_cells(metrics, "true"), "")]
    for name, run in runs.items():
        if run is None:
            rows.append((f"ODE, {ode}", "1", "", *_cells(metrics, name), ""))
            continue
        title = f"SDE, {_NOISE[run.schedule]}, c = {run.scale:g}"
        cells = _cells(metrics, name)
        bound = f"{metrics[f'bound_{name}']:.3f}"
        rows.append((title, f"{run.end:g}", str(run.steps), *cells, bound))
    columns = ("samples", "end", "steps", "KL / nats", "off support", "log density", "bound")
    return Table("Samples of the learned process", columns, tuple(rows), caption)


def summary_text(metrics: Metrics, runs: Mapping[str, SdeRun | None]) -> str:
    """Say how good the likelihood is, and whether noise helps."""
    noisy = {name: run for name, run in runs.items() if run is not None}
    best = min(noisy, key=lambda name: metrics[f"kl_{name}"])
    run, gap = noisy[best], metrics["nll"] - metrics["entropy"]
    noise = f"epsilon = {run.scale:g}" + (" (1 - t) / t" if run.schedule == "matched" else "")
    return (
        f"After {metrics['training_seconds']:.0f} s of training, true points have a mean negative "
        f"log likelihood of {metrics['nll']:.3f} nats, {gap:.3f} above the entropy ln 32 = "
        f"{metrics['entropy']:.3f}. On the grid, the divergence of the ODE's samples is "
        f"{metrics['kl_ode']:.3f} +- {metrics['kl_error_ode']:.3f}, and that of the best SDE "
        f"({noise}, {run.steps} steps) {metrics[f'kl_{best}']:.3f} +- "
        f"{metrics[f'kl_error_{best}']:.3f}; of their samples {100 * metrics['off_ode']:.1f} and "
        f"{100 * metrics[f'off_{best}']:.1f} per cent are off the support."
    )


def _cells(metrics: Metrics, name: str) -> tuple[str, str, str]:
    return (
        f"{metrics[f'kl_{name}']:.4f} +- {metrics[f'kl_error_{name}']:.4f}",
        f"{100 * metrics[f'off_{name}']:.2f} %",
        f"{metrics[f'log_density_{name}']:.3f}",
    )
