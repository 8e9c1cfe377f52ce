"""The numbers of the study of boundary conditions, by name, in tables and in words."""

from __future__ import annotations

from collections.abc import Sequence

from invdiff.study.laboratory.sr_boundary_runs import EXTENDED_BY, METRICS, SEARCHED_BY
from invdiff.study.laboratory.sr_training_scores import decibels
from invdiff.study.scripted import Metrics, Table
from invdiff.superres.boundary_scores import BoundaryComparison

__all__ = [
    "EXTENSIONS",
    "ON_WHOLE",
    "boundary_names",
    "numbers_of",
    "summary_of",
    "tables_of",
    "title_of",
    "with_gains",
]

EXTENSIONS = ("refined", "radial")
# fitted to whole references: their losses there stand beside no others
ON_WHOLE = ("analytic-random", "analytic-zero")
_WORDS = {
    "random": "random x_T",
    "zero": "x_T = 0",
    "posterior-mean": "x_T at the posterior mean",
    "selected": "selected by consistency",
    "analytic-random": "matched Gaussian, random",
    "analytic-zero": "matched Gaussian, x_T = 0",
    "searched": "published search",
    "refined": "refined by gradients",
    "radial": "radial spectrum, CMA-ES",
}


def boundary_names() -> list[str]:
    """Return the names of all boundaries in the order of the report."""
    searched = [f"searched-{m}" for m in SEARCHED_BY] + [f"{e}-{EXTENDED_BY}" for e in EXTENSIONS]
    fixed = ["zero", "posterior-mean", "selected", "analytic-random", "analytic-zero"]
    return ["random", *searched, *fixed]


def title_of(name: str) -> str:
    """Return the words for a boundary."""
    if name in _WORDS:
        return _WORDS[name]
    kind, metric = name.split("-", 1)
    return f"{_WORDS[kind]} ({metric})"


def numbers_of(comparison: BoundaryComparison, random: str) -> dict[str, float]:
    """Return the losses and costs of a comparison by ``BOUNDARY_METRIC_WHAT``.

    Args:
        comparison: Of one ODE.
        random: What its random boundaries are called.
    """
    numbers: dict[str, float] = {}
    for score in comparison.scores:
        key = f"{score.boundary}_{score.metric}"
        numbers[f"{key}_held_out"] = score.held_out.loss
        numbers[f"{key}_reference"] = score.reference.loss
        numbers[f"{score.boundary}_calls_per_image"] = score.calls_per_image
        numbers[f"{score.boundary}_calls_spent"] = score.calls_spent
        numbers[f"{score.boundary}_residual"] = score.residual or 0.0
        key = f"{random}_{score.metric}"
        numbers[f"{key}_held_out"] = score.held_out.random_mean
        numbers[f"{key}_held_out_std"] = score.held_out.random_std
        numbers[f"{key}_reference"] = score.reference.random_mean
    numbers[f"{random}_residual"] = comparison.random_residual or 0.0
    for name in {score.boundary for score in comparison.scores} | {random}:
        numbers[f"{name}_psnr"] = float(decibels(numbers[f"{name}_mse_held_out"]))
    return numbers


def with_gains(numbers: dict[str, float]) -> dict[str, float]:
    """Add what each boundary gains over random ones, in their standard deviations.

    Args:
        numbers: Of all comparisons; ``random`` started as usual.
    """
    gains: dict[str, float] = {}
    for metric in METRICS:
        mean, std = (numbers[f"random_{metric}_held_out{end}"] for end in ("", "_std"))
        for name in boundary_names()[1:]:
            loss = numbers[f"{name}_{metric}_held_out"]
            gains[f"{name}_{metric}_gain"] = (mean - loss) / std
    return numbers | gains


def tables_of(metrics: Metrics, tasks: Sequence[str], num_calls: Sequence[int]) -> list[Table]:
    """Return one table for each task and number of calls."""
    return [_table(metrics, task, calls) for task in tasks for calls in num_calls]


def summary_of(metrics: Metrics, tasks: Sequence[str], num_calls: Sequence[int]) -> str:
    """Say what the published search gains over random x_T, and which choice is best."""
    sentences = []
    for task in tasks:
        for calls in num_calls:
            prefix = f"{task}_{calls}_"
            gains = [metrics[f"{prefix}searched-{m}_{m}_gain"] for m in SEARCHED_BY]
            best = max(boundary_names(), key=lambda n: metrics[f"{prefix}{n}_psnr"])
            over = metrics[f"{prefix}{best}_psnr"] - metrics[f"{task}_bicubic_psnr"]
            words = " and ".join(
                f"{gain:.1f} ({m})" for gain, m in zip(gains, SEARCHED_BY, strict=True)
            )
            sentences.append(
                f"{task}, {calls} calls: the searched x_T beats random ones by {words} standard "
                f"deviations on held-out slices; the highest PSNR of those compared is that of "
                f"{title_of(best)}, {over:.1f} dB over bicubic."
            )
    sentences += [
        f"{task}: references and held-out slices are of ONE subject."
        for task in tasks
        if not metrics[f"{task}_by_subject"]
    ]
    return " ".join(sentences)


def _table(metrics: Metrics, task: str, calls: int) -> Table:
    columns = ["boundary", "PSNR (dB)"]
    for metric in METRICS:
        columns += [metric, "gain (sd)", "on references"]
    columns += ["residual", "calls an image", "calls of the search"]
    rows = [_row(metrics, task, calls, name) for name in boundary_names()]
    bicubic = ["bicubic", f"{metrics[f'{task}_bicubic_psnr']:.2f}"]
    for metric in METRICS:
        bicubic += [f"{metrics[f'{task}_bicubic_{metric}_held_out']:.4f}", "", ""]
    rows.append((*bicubic, "", "0", ""))
    return Table(
        f"{task}, {calls} network calls",
        tuple(columns),
        tuple(rows),
        "Mean losses on held-out slices, lower is better; gains in standard deviations of random "
        "boundaries; losses on the references, which are small parts full of detail, are not "
        "comparable with those on whole slices. The residual is the root mean square of what "
        "the image measures less the measurement.",
    )


def _row(metrics: Metrics, task: str, calls: int, name: str) -> tuple[str, ...]:
    prefix = f"{task}_{calls}_{name}"
    cells = [title_of(name), f"{metrics[f'{prefix}_psnr']:.2f}"]
    for metric in METRICS:
        key = f"{prefix}_{metric}"
        gain = metrics.get(f"{key}_gain")
        spread = f" ± {metrics[f'{key}_held_out_std']:.4f}" if gain is None else ""
        cells += [
            f"{metrics[f'{key}_held_out']:.4f}{spread}",
            "" if gain is None else f"{gain:+.1f}",
            "" if name in ON_WHOLE else f"{metrics[f'{key}_reference']:.4f}",
        ]
    cells += [
        f"{metrics[f'{prefix}_residual']:.4f}",
        f"{metrics.get(f'{prefix}_calls_per_image', calls):.0f}",
        f"{metrics.get(f'{prefix}_calls_spent', 0):.0f}",
    ]
    return tuple(cells)
