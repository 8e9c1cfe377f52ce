"""The figures of a refinement of classical reconstructions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from invdiff.study.loss_line import draw_loss
from invdiff.study.scripted import Arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["images", "loss"]

_PANEL, _NUM_SHOWN = 1.6, 3


def loss(losses: dict[str, np.ndarray]) -> Figure:
    """Show the loss of every step, one panel a scan."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(losses), 2.8), layout="constrained")
    for axis, (name, values) in zip(
        figure.subplots(1, len(losses), squeeze=False)[0], losses.items(), strict=True
    ):
        highest = draw_loss(axis, values, "mean of blocks")
        axis.set(title=name, xlabel="step", ylabel="denoising loss", ylim=(0, 1.1 * highest))
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False)
    return figure


def images(arrays: Arrays, rough_name: str) -> Figure:
    """Show held-out images, one a row: rough, least variation, a sample, means, spread, truth."""
    from matplotlib.figure import Figure

    panels = {
        rough_name: "rough", "least variation": "tv", "one sample": "sample",
        f"mean of {len(arrays['samples'])}": "mean", "mean and data": "consistent",
        "spread": "spread", "truth": "truth",
    }  # fmt: skip
    shown = arrays | {"sample": arrays["samples"][0], "psnr_sample": arrays["psnr_samples"][0]}
    rows = np.linspace(0, len(arrays["truth"]) - 1, _NUM_SHOWN).round().astype(int)
    rows = np.unique(rows)
    size = (_PANEL * len(panels), (_PANEL + 0.2) * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), len(panels), squeeze=False)
    high = max(float(arrays["spread"][rows].max()), 1e-6)
    for column, (title, name) in enumerate(panels.items()):
        style = {"cmap": "magma", "vmax": high} if name == "spread" else {"cmap": "gray", "vmax": 1}
        for axis, row in zip(axes[:, column], rows, strict=True):
            axis.imshow(shown[name][row], vmin=0, interpolation="nearest", **style)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if f"psnr_{name}" in shown:
                axis.set_xlabel(f"{shown[f'psnr_{name}'][row]:.1f} dB", fontsize=7, labelpad=2)
        axes[0, column].set_title(title, fontsize=9)
    return figure
