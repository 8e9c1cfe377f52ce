"""What the report of a training of a prior says."""

from __future__ import annotations

from invdiff.study.scripted import Metrics, Table

__all__ = ["CAPTIONS", "summary", "tables"]

CAPTIONS = {
    "slices": "Slices that were learnt from, black at the bottom of the range, white at its top.",
    "augmented": "The same slices as the network saw them once: augmentation must leave anatomy.",
    "loss": "Loss of each step (grey) and means of it. Blue: the same loss of averaged weights on "
    "slices that were held out, always with the same noise; if it rises while the other falls, "
    "the network learns its slices by heart.",
    "length": "Held-out loss of averages of the weights, made afterwards from those that were "
    "kept. The length is the standard deviation of the weights' times over that of the training.",
    "denoising": "PSNR over the range of the images, errors averaged over all pixels before the "
    "logarithm. Grey: each held-out subject.",
    "samples": "Images that the prior draws from noise: what it believes in.",
}


def tables(sigmas: tuple[float, ...], metrics: Metrics) -> list[Table]:
    """Return denoising by noise level, and the trial where there was one."""
    rows = tuple((f"{sigma:g}", f"{metrics[f'psnr_{sigma:g}']:.2f}") for sigma in sigmas)
    found = [
        Table(
            "Denoising of held-out slices",
            ("noise level", "PSNR (dB)"),
            rows,
            f"{metrics['num_judged']} of {metrics['num_heldout']} held-out slices.",
        )
    ]
    trial = {
        name.removeprefix("trial_psnr").removeprefix("_") or "this prior": value
        for name, value in metrics.items()
        if name.startswith("trial_psnr")
    }
    if trial:
        rows = tuple((name, f"{value:.2f}") for name, value in trial.items())
        found.append(Table("First reconstruction", ("method", "PSNR (dB)"), rows))
    return found


def summary(metrics: Metrics, target: float | None) -> str:
    """Say what the prior was trained on, and how good it is."""
    kept = (
        "other subjects"
        if metrics["by_subject"]
        else "the last slices, which may be of the same people"
    )
    reached = metrics["loss_heldout"] <= (target or 0)
    verdict = f", {'below' if reached else 'NOT below'} the {target:g} asked for" if target else ""
    return (
        f"Trained on {metrics['num_training']} slices in {metrics['training_seconds']:.0f} s, "
        f"judged on {metrics['num_judged']} of {kept}. Held-out loss "
        f"{metrics['loss_heldout']:.4f}{verdict}; at the end of the training "
        f"{metrics['loss_training']:.4f}. The folder prior holds the network and its model card."
    )
