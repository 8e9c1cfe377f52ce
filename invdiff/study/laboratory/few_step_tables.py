"""The tables and the summary of the study of few-step flows."""

from __future__ import annotations

from collections.abc import Sequence

from invdiff.study.scripted import Metrics, Table

__all__ = ["distances", "few_views", "names", "networks", "summary"]


def names(plain: bool) -> dict[str, str]:
    """Return how each network is called, in order."""
    labels = {"teacher": "flow", "plain": "reflow, plain", "student": "reflow, annealed",
              "one_step": "one step"}  # fmt: skip
    return {name: label for name, label in labels.items() if plain or name != "plain"}


def distances(metrics: Metrics, calls: Sequence[int], plain: bool) -> Table:
    """Return how far each network is from real slices, with each number of calls."""
    rows = [("training slices", "", *_distance(metrics, "floor"), "")]
    for name, label in names(plain).items():
        rows += [
            (label, str(n), *_distance(metrics, f"{name}_{n}"),
             f"{1e3 * metrics[f'seconds_{name}_{n}']:.2f}")
            for n in calls if f"seconds_{name}_{n}" in metrics
        ]  # fmt: skip
    caption = (
        "To training slices that were drawn at random, in main components of them; in the first "
        "row of others. Held-out slices may be of another law: there the first row is what "
        "knowing the training slices by heart would give. Behind +- is the standard error from "
        "the choice of the samples; the networks start from the same noise, another training "
        "changes more. The Frechet distance is between normal "
        "laws in this space; it is not the FID of the literature and has no meaning beside one."
    )
    columns = (
        "slices of", "calls", "energy distance", "to held-out slices", "Frechet distance",
        "milliseconds a sample",
    )  # fmt: skip
    return Table("Distance to real slices", columns, tuple(rows), caption)


def few_views(metrics: Metrics, methods: dict[str, str], views: int) -> Table:
    """Return how good each reconstruction from few views is."""
    rows = tuple(
        (label, f"{metrics[f'psnr_{name}']:.2f}", f"{metrics[f'ssim_{name}']:.3f}",
         f"{metrics[f'seconds_{name}']:.2f}")
        for name, label in methods.items()
    )  # fmt: skip
    caption = (
        "Means over held-out slices. The latent search may only return what the generator can "
        "draw; the others start from the data."
    )
    columns = ("method", "PSNR (dB)", "SSIM", "seconds a slice")
    return Table(f"Reconstruction from {views} views", columns, rows, caption)


def networks(metrics: Metrics, plain: bool, sigmas: Sequence[float]) -> Table:
    """Return size, training, straightness and denoising of each network."""
    rows = tuple(
        (label, f"{metrics[f'parameters_{name}'] / 1e6:.2f}",
         f"{metrics[f'training_seconds_{name}']:.0f}",
         _number(metrics, f"straightness_{name}", ".4f"),
         *(_number(metrics, f"denoising_{name}_{sigma}", ".2f") for sigma in sigmas))
        for name, label in names(plain).items()
    )  # fmt: skip
    heads = (f"denoised, noise {sigma:g} (dB)" for sigma in sigmas)
    columns = ("network", "million weights", "training (s)", "straightness", *heads)
    caption = (
        f"The pairs took {metrics['training_seconds_pairs']:.0f} s. Straightness is the mean "
        "square by which the velocity leaves the line from start to end, of a pixel of spread 1; 0 "
        "is straight. Denoising: PSNR of held-out slices after one call. Only the flow of "
        "independent ends is a denoiser: a straightened one knows which noise belongs to which "
        "slice, which noise that is added to a slice does not keep to."
    )
    return Table("Networks", columns, rows, caption)


def summary(metrics: Metrics, size: int, most: int, plain: bool) -> str:
    """Say what was trained and what was found."""
    kept = "of other subjects" if metrics["by_subject"] else "from the end of the same slices"

    def energy(name: str) -> str:
        return f"{metrics[f'energy_{name}']:.3f}"

    without = f" (without annealing {energy('plain_1')})" if plain else ""
    return (
        f"{size} x {size} pixels, {metrics['num_training']} training slices, "
        f"{metrics['num_heldout']} {kept} held out. Energy distance to training slices in main "
        f"components, of other training slices {energy('floor')}: the flow at {most} "
        f"calls {energy(f'teacher_{most}')}, at one "
        f"{energy('teacher_1')}. Reflow into a network with "
        f"{metrics['parameters_student'] / metrics['parameters_teacher']:.0%} of its weights: "
        f"{energy('student_1')} at one call{without}; distilled: {energy('one_step_1')}."
    )


def _distance(metrics: Metrics, name: str) -> tuple[str, str, str]:
    near = f"{metrics[f'energy_{name}']:.3f} +- {metrics[f'energy_error_{name}']:.3f}"
    return near, f"{metrics[f'energy_heldout_{name}']:.3f}", f"{metrics[f'frechet_{name}']:.2f}"


def _number(metrics: Metrics, name: str, form: str) -> str:
    return format(metrics[name], form) if name in metrics else ""
