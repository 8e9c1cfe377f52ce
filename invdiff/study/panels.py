"""Grids of pictures without axes, and what is drawn into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from invdiff.study.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "add_colorbar",
    "detail_of",
    "draw_detail",
    "draw_image",
    "draw_measurement",
    "draw_window",
    "make_grid",
]

FRAME = "#e8b04b"
# where nothing was measured: no grey that could be a value
_MISSING = "#b9cbe0"
_PANEL = 2.7
# share of the image's height and width that the detail shows
_DETAIL = 0.28


def make_grid(result: Result, rows: int, columns: int, *, colorbar: bool = False) -> Any:
    """Return a figure and its axes, shape (rows, columns), in the proportions of the image."""
    from matplotlib.figure import Figure

    height = _PANEL * min(max(_ratio(result), 0.6), 1.6)
    size = (_PANEL * columns + 0.8 * colorbar, height * rows + 0.45)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes


def draw_image(axis: Axes, result: Result, picture: NDArray[Any]) -> None:
    """Show values in the grey window of the result."""
    low, high = result.units.window
    axis.imshow(picture, cmap="gray", vmin=low, vmax=high, aspect=result.aspect)


def draw_detail(axes: NDArray[Any], result: Result, picture: NDArray[Any], part: Any) -> None:
    """Show an image with a frame in it, and below what is in the frame."""
    from matplotlib.patches import Rectangle

    rows, columns = part
    draw_image(axes[0], result, picture)
    corner = (columns.start - 0.5, rows.start - 0.5)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    axes[0].add_patch(Rectangle(corner, *size, fill=False, edgecolor=FRAME, linewidth=0.8))
    draw_image(axes[1], result, picture[part])
    axes[1].spines[:].set(visible=True, color=FRAME, linewidth=0.8)


def detail_of(image: NDArray[Any]) -> tuple[slice, slice]:
    """Return the part of an image that has most structure."""
    from scipy.ndimage import uniform_filter

    sizes = [max(int(n * _DETAIL), 4) for n in image.shape]
    # the logarithm, since one bright edge must not decide
    activity = np.log1p(np.hypot(*np.gradient(image.astype(np.float64))))
    mean = uniform_filter(activity, sizes)
    # windows that lie within the image, by their centres
    centres = [slice(s // 2, n - s + s // 2 + 1) for s, n in zip(sizes, image.shape, strict=True)]
    inner = mean[tuple(centres)]
    row, column = (int(i) for i in np.unravel_index(np.argmax(inner), inner.shape))
    return slice(row, row + sizes[0]), slice(column, column + sizes[1])


def draw_measurement(axis: Axes, result: Result) -> None:
    """Show the measurement: a sinogram, the logarithm of k-space, or an image."""
    from matplotlib import colormaps

    kind = result.experiment.operator.kind
    titles = {"ct": "Sinogram (views down)", "mri": "k-space (logarithm)"}
    picture = result.arrays["measurement_picture"]
    cmap = colormaps["gray"].with_extremes(bad=_MISSING)
    if kind.startswith(("ct-", "mri-")):
        axis.imshow(picture, cmap=cmap, aspect="auto", interpolation="nearest")
        axis.set_box_aspect(_ratio(result))
    else:
        low, high = result.units.solver_window
        axis.imshow(picture, cmap=cmap, vmin=low, vmax=high, aspect=result.aspect)
    axis.set_title(titles.get(kind.split("-")[0], "Measurement") + "\n", fontsize=9)


def draw_window(axis: Axes, result: Result) -> None:
    """Show the grey window as a bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(*result.units.window), cmap="gray")
    place = axis.inset_axes((0.1, 0.5, 0.8, 0.06))
    bar = axis.figure.colorbar(scale, cax=place, orientation="horizontal")
    bar.set_label(f"grey window of all images ({result.units.name})", fontsize=8)
    bar.ax.tick_params(labelsize=8)


def add_colorbar(figure: Any, axes: NDArray[Any], drawn: Any, label: str, extend: str) -> None:
    """Put one colour bar to the right of a row."""
    bar = figure.colorbar(drawn, ax=list(axes), extend=extend, fraction=0.03, pad=0.01)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _ratio(result: Result) -> float:
    rows, columns = result.arrays["reconstruction"].shape
    return float(rows * result.aspect / columns)
