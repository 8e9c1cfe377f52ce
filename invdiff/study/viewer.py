"""A page that shows volumes slice by slice and rendered, and opens without a network."""

from __future__ import annotations

import base64
import gzip
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeAlias

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from invdiff.data import Image, read_nifti
from invdiff.data.finite import to_float32
from invdiff.study.page import render

__all__ = ["Layer", "VolumeSource", "write_viewer"]

VolumeSource: TypeAlias = str | os.PathLike[str] | Image | nib.Nifti1Image
Window = tuple[float, float]

# an int16 has 65535 steps of which the rounding of the offset may cost two
_STEPS = 65532
# of a window, 16 times finer than what a screen tells apart
_STEPS_OF_WINDOW = 4096
_LEVEL = 6


@dataclass(frozen=True, eq=False)
class Layer:
    """A volume that is shown in its own way.

    Args:
        image: The volume, or the NIfTI file that holds it.
        window: Values drawn darkest and brightest; that of the page by default.
        colormap: ``"error"`` is blue below the middle of the window, black there, red above.
    """

    image: VolumeSource
    window: Window | None = None
    colormap: Literal["gray", "error", "magma"] = "gray"


def write_viewer(
    path: Path,
    volumes: Mapping[str, VolumeSource | Layer],
    *,
    window: Window,
    unit: str,
    title: str,
) -> Path:
    """Write one HTML file that holds volumes and what draws them, NiiVue.

    Values are stored as int16, ``scl_slope * count + scl_inter`` with

    .. math:: q = max((max x - min x) / 65532, (w_1 - w_0) / 4096)

    for the slope: what is shown is within q / 2 of x, and 0 stays 0. The page needs WebGL 2.

    Args:
        path: The HTML file; an earlier one is replaced.
        volumes: Title to volume, in the order of the menu, the first shown at the beginning. They
            may have different grids; the crosshair is kept in mm.
        window: Values (w_0, w_1) drawn black and white, in the unit of the values.
        unit: Of the values, such as HU.
        title: Heading of the page.

    Returns:
        The path.

    Raises:
        ValueError: No volume, a window that is not two increasing numbers, or a volume that cannot
            be read or has values that are not finite.
    """
    if not volumes:
        raise ValueError("write_viewer: expected at least one volume")
    layers = [
        _embedded(name, volume if isinstance(volume, Layer) else Layer(volume), window)
        for name, volume in volumes.items()
    ]
    niivue = files("invdiff.study") / "niivue"
    return render(
        path,
        "viewer",
        title=title,
        unit=unit,
        library=(niivue / "niivue.min.js").read_text(encoding="utf-8"),
        # who passes the page on passes NiiVue on
        licence=(niivue / "LICENSE.txt").read_text(encoding="utf-8"),
        layers=[{k: v for k, v in layer.items() if k != "data"} for layer in layers],
        data=[layer["data"] for layer in layers],
    )


def _embedded(name: str, layer: Layer, window: Window) -> dict[str, Any]:
    """Return what the page knows of a volume."""
    low, high = layer.window or window
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{name}: expected a window of two increasing numbers, got {(low, high)}")
    image = _image(name, layer.image)
    content, step = _compressed(image, (high - low) / _STEPS_OF_WINDOW)
    return {
        "title": name,
        "window": (float(low), float(high)),
        "colormap": layer.colormap,
        "range": (float(image.values.min()), float(image.values.max())),
        "step": step,
        "data": base64.b64encode(content).decode(),
    }


def _image(name: str, source: VolumeSource) -> Image:
    if isinstance(source, Image):
        return source
    if isinstance(source, str | os.PathLike):
        return read_nifti(source)
    values = np.asanyarray(source.dataobj)
    if values.ndim != 3:
        raise ValueError(f"{name}: expected a volume of three dimensions, got {values.shape}")
    affine = np.array(source.affine, dtype=np.float64)
    return Image(to_float32(values.transpose(), name), affine)


def _compressed(image: Image, step: float) -> tuple[bytes, float]:
    """Return a gzipped NIfTI file of int16, and its slope, which is ``step`` or more."""
    counts, slope, offset = _counts(image.values.astype(np.float64), step)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(counts.shape[::-1])
    header.set_zooms(image.spacing[::-1])
    header.set_sform(image.affine, code=1)
    header.set_xyzt_units("mm")
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = slope, offset, 352
    # NIfTI runs through (col, row, slice), the first fastest, as values do in C order
    content = header.binaryblock + bytes(4) + counts.astype("<i2").tobytes()
    # without a time stamp the same volume gives the same file
    return gzip.compress(content, _LEVEL, mtime=0), slope


def _counts(values: NDArray[np.float64], step: float) -> tuple[NDArray[np.int16], float, float]:
    """Return integers, slope and offset; the offset is a multiple of the slope, which keeps 0."""
    low, high = float(values.min()), float(values.max())
    # the header holds float32: round before dividing
    slope = float(np.float32(max((high - low) / _STEPS, step)))
    middle = round((low + high) / 2 / slope)
    return (np.rint(values / slope) - middle).astype(np.int16), slope, middle * slope
