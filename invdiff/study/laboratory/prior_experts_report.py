"""The words and tables of the study of prior ensembles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from invdiff.study.laboratory.prior_experts_exact import DISTANCES, LEVELS
from invdiff.study.laboratory.prior_experts_runs import WAYS
from invdiff.study.router_training.tables import reach
from invdiff.study.scripted import Metrics, Table

__all__ = ["denoising_table", "exact_table", "reconstruction_table", "summary_text"]


def denoising_table(metrics: Metrics, names: Sequence[str], sigmas: Sequence[float]) -> Table:
    """Return the PSNR of each way of use at each noise level."""
    rows = tuple(
        (name, title, *(f"{value:.2f}" for value in metrics[f"denoising_{way}_{name}"]))
        for name in names
        for way, title in WAYS.items()
    )
    columns = ("images", "prior", *(f"sigma {s:g}" for s in sigmas))
    caption = "PSNR in dB over the range [-1, 1], mean over the held-out slices."
    return Table("Denoising", columns, rows, caption)


def reconstruction_table(metrics: Metrics, tasks: Mapping[str, str]) -> Table:
    """Return the PSNR and the network calls of each way of use, with tasks by expert."""
    rows = tuple(
        (name, task, title, f"{metrics[f'red_diff_{way}_{name}']:.2f}",
         str(metrics[f"calls_{way}_{name}"]))
        for name, task in tasks.items()
        for way, title in WAYS.items()
    )  # fmt: skip
    columns = ("images", "task", "prior", "PSNR (dB)", "network calls")
    return Table("Reconstruction of one slice", columns, rows, "By RED-diff.")


def exact_table(metrics: Metrics) -> Table:
    """Return the errors of leaving experts out of a mixture that is known."""
    rows = tuple(
        (f"{distance:g}", f"{top}", *(f"{error:.1e}" for error in metrics[f"top_{top}"][i]))
        for i, distance in enumerate(DISTANCES)
        for top in (1, 2)
    )
    columns = ("distance", "experts", *(f"sigma {level:g}" for level in LEVELS))
    caption = (
        "Root mean square error over the deviation of the data; distance of two means in "
        f"deviations of a part. With all experts {metrics['identity']:.1e} at most."
    )
    return Table("A mixture split by component", columns, rows, caption)


def summary_text(metrics: Metrics, names: Sequence[str], sigmas: Sequence[float]) -> str:
    """Say what routing costs, and what a wrong prior would."""
    people = (
        "people whom nothing was trained on"
        if metrics["by_subject"]
        else "people whose other slices the router was trained on"
    )
    return (
        f"On slices of {people}, {reach(metrics['accuracy'], sigmas)}. "
        f"Against the right prior, reconstructions lose {_losses(metrics, 'wrong', names)} with "
        f"the wrong one, and {_losses(metrics, 'routed', names)} with all priors and the router. "
        f"On a mixture split by component, all experts with the exact router differ from the "
        f"whole by {metrics['identity']:.1e} at most."
    )


def _losses(metrics: Metrics, way: str, names: Sequence[str]) -> str:
    """Return the loss of each expert's image in dB; below 0 where the way is better."""
    return " and ".join(
        f"{metrics[f'red_diff_right_{name}'] - metrics[f'red_diff_{way}_{name}']:.2f} dB ({name})"
        for name in names
    )
