"""Tables and summary of the checkerboard study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from invdiff.study.laboratory.interpolant_checkerboard_runs import SdeRun
from invdiff.study.scripted import Metrics, Table

__all__ = ["captions", "path_table", "sample_table", "summary_text"]

# standard errors that a difference has to exceed
_CLEAR = 2


def captions(num_shown: int, end: float, num_points: int, num_paths: int) -> dict[str, str]:
    """Say what the figures show.

    Args:
        num_shown: Points on their way.
        end: Time at which densities are compared.
        num_points: At which they are.
        num_paths: Of each density of an SDE.
    """
    return {
        "paths": f"{num_shown} points from the same noise. The ODE stretches the plane; the "
        "SDE (epsilon = (1 - t) / t) also mixes points on their way. Both leave some between "
        "the squares, which touch nowhere but in corners.",
        "density": "Density of the ODE's samples, by the divergence of the learned velocity: "
        "white is the true one on the left, where outside of the support it is 0.",
        "divergence": f"Left: by log densities at {num_points} true points of "
        f"t = {end:g}, the same for all, with one standard error of the difference over "
        f"points; {num_paths} paths make the SDE's divergence an upper bound. Middle: of "
        "samples at t = 1, by counts on a grid, which see no error within a bin. Right: what "
        "the error of the learned velocity alone allows at most, with exact integration; there "
        "is no such bound for the ODE.",
        "loss": "Means of the loss over steps, with one standard error; constants are left "
        "out, so it is negative.",
    }


def sample_table(metrics: Metrics, runs: Mapping[str, SdeRun], ode: str, caption: str) -> Table:
    """Return one row for each way to draw samples.

    Args:
        metrics: Of the study.
        runs: SDEs by name.
        ode: How the ODE is solved.
        caption: Of the table.
    """
    rows = [
        ("true samples", "", "", *_cells(metrics, "true"), ""),
        (f"ODE, {ode}", _pair(metrics, "end_kl_ode"), "", *_cells(metrics, "ode"), ""),
    ]
    for name, run in runs.items():
        found = (_pair(metrics, f"end_kl_{name}"), _pair(metrics, f"gain_{name}", -1))
        bound = f"{metrics[f'bound_{name}']:.3f}"
        rows.append((f"SDE, {_noise(run)}", *found, *_cells(metrics, name), bound))
    columns = (
        "samples", "KL at the end / nats", "less that of the ODE", "KL on a grid", "off support",
        "log density", "bound",
    )  # fmt: skip
    return Table("Samples of the learned process", columns, tuple(rows), caption)


def path_table(metrics: Metrics, counts: Iterable[int]) -> Table:
    """Return how the divergence of the main SDE falls with the number of paths.

    Args:
        metrics: With "paths_COUNT_kl", "paths_COUNT_excess", "paths_COUNT_gain" and their errors.
        counts: Increasing.
    """
    counts = list(counts)
    rows = []
    for count in counts:
        kl, gain = _pair(metrics, f"paths_{count}_kl"), _pair(metrics, f"paths_{count}_gain", -1)
        excess = "" if count == counts[-1] else _pair(metrics, f"paths_{count}_excess")
        rows.append((str(count), kl, gain, excess))
    columns = ("paths", "KL / nats", "less that of the ODE", f"above that of {counts[-1]} paths")
    caption = (
        "Of epsilon = (1 - t) / t. Means are too high, the less so the more paths; errors are "
        "standard errors over points, which are the same in all rows."
    )
    return Table("Number of paths that the density is found with", columns, tuple(rows), caption)


def summary_text(metrics: Metrics, runs: Mapping[str, SdeRun], main: str) -> str:
    """Say how good the likelihood is, and whether noise helps.

    Args:
        metrics: Of the study.
        runs: SDEs by name.
        main: The one that was chosen before anything was measured.
    """
    gap = metrics["nll"] - metrics["entropy"]
    return (
        f"After {metrics['training_seconds']:.0f} s of training, true points have a mean negative "
        f"log likelihood of {metrics['nll']:.3f} +- {metrics['nll_error']:.3f} nats under the ODE, "
        f"{gap:.3f} above the entropy ln 32 = {metrics['entropy']:.3f}. At t = "
        f"{runs[main].end:g}, KL(truth | ODE) is {_pair(metrics, 'end_kl_ode')}, and that of the "
        f"SDE with {_noise(runs[main])} at most {_pair(metrics, f'end_kl_{main}')}: "
        f"{_verdict(metrics, main)}, the paired difference is "
        f"{_pair(metrics, f'gain_{main}', -1)}. "
        f"{_others(metrics, [name for name in runs if name != main])} The grid at t = 1 sees "
        f"{_pair(metrics, 'kl_ode')} and {_pair(metrics, f'kl_{main}')}; of the samples "
        f"{100 * metrics['off_ode']:.1f} and {100 * metrics[f'off_{main}']:.1f} per cent are off "
        f"the support."
    )


def _verdict(metrics: Metrics, name: str) -> str:
    clear = metrics[f"gain_{name}_error"] * _CLEAR
    if metrics[f"gain_{name}"] > clear:
        return "the SDE is better"
    if metrics[f"gain_{name}"] < -clear:
        return "the bound of the SDE is higher"
    return "no clear difference"


def _others(metrics: Metrics, names: list[str]) -> str:
    verdicts = [_verdict(metrics, name) for name in names]
    better, worse = (
        verdicts.count(kind) for kind in ("the SDE is better", "the bound of the SDE is higher")
    )
    return (
        f"Of {len(names)} other settings, {better} are below the ODE by more than {_CLEAR} "
        f"standard errors, and the bounds of {worse} above it."
    )


def _noise(run: SdeRun) -> str:
    if run.schedule == "constant":
        return f"epsilon = {run.scale:g}"
    factor = "" if run.scale == 1 else f"{run.scale:g} "
    return f"epsilon = {factor}(1 - t) / t"


def _pair(metrics: Metrics, name: str, sign: int = 1) -> str:
    return f"{sign * metrics[name]:.4f} +- {metrics[f'{name}_error']:.4f}"


def _cells(metrics: Metrics, name: str) -> tuple[str, str, str]:
    return (
        _pair(metrics, f"kl_{name}"),
        f"{100 * metrics[f'off_{name}']:.2f} %",
        f"{metrics[f'log_density_{name}']:.3f}",
    )
