"""The figures of a comparison of priors by denoising."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from invdiff.study.denoising_line import draw_denoising, label_levels
from invdiff.study.scripted import Arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["denoising", "pictures"]

_COLORS = ("#b5482a", "#2f6f9f", "#5a7d2b", "#7a4f9b", "#98a2b3")
_PANEL = 1.9


def denoising(arrays: Arrays, names: tuple[str, ...]) -> Figure:
    """Show the PSNR of each prior against the noise level, and that of single subjects."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axis = figure.subplots()
    sigmas = arrays["sigmas"].tolist()
    for k, name in enumerate(names):
        color = _COLORS[k % len(_COLORS)]
        draw_denoising(
            axis, sigmas, arrays[f"{name}/errors"], arrays["subjects"],
            label=name, color=color, thin=f"{color}99",
        )  # fmt: skip
    label_levels(axis, sigmas)
    return figure


def pictures(arrays: Arrays, names: tuple[str, ...]) -> Figure:
    """Show slices, with noise, and denoised by each prior, a slice a row."""
    from matplotlib.figure import Figure

    columns = {"slice": arrays["shown"], "with noise": arrays[f"{names[0]}/noisy"]}
    columns |= {name: arrays[f"{name}/denoised"] for name in names}
    rows = len(arrays["shown"])
    size = (_PANEL * len(columns), (_PANEL + 0.1) * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (title, images) in enumerate(columns.items()):
        axes[0, column].set_title(title, fontsize=9)
        for row, axis in enumerate(axes[:, column]):
            image = images[row] if images.ndim == 3 else np.linalg.norm(images[row], axis=0)
            axis.imshow(image, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
            axis.set_axis_off()
    return figure
