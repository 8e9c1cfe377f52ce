"""Where the slices of an ISMRMRD file lie in the patient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from invdiff.data._dicom_series import LPS_TO_RAS

__all__ = ["place_slices"]

# slices may lie this share of the spacing away from where a uniform stack has them
_STEP_TOLERANCE = 0.1


def place_slices(
    lines: list[Any], shape: tuple[int, ...], field: tuple[float, float, float], name: str
) -> tuple[NDArray[np.intp], NDArray[np.float64] | None, float]:
    """Order, affine and distance of the slices.

    The directions of a readout are those of the patient system (LPS), and its position is the
    centre of the slice, which lies at pixel n // 2. Files made without a scanner have zeros there:
    then the slices keep their numbering and the affine is None.

    Args:
        lines: Readouts; their ``idx.slice`` in rising order are the slices.
        shape: (slices, coils, rows, cols) of the encoded grid.
        field: Encoded field of view along (readout, phase, slice), mm.
        name: For messages.

    Raises:
        ValueError: Slices that are not parallel or not evenly spaced.
    """
    by_slice = {int(line.idx.slice): line for line in reversed(lines)}
    firsts = [by_slice[key] for key in sorted(by_slice)]
    directions = np.array([_directions(line) for line in firsts])
    if not directions[0].any():
        return np.arange(len(firsts)), None, field[2]
    if np.abs(directions - directions[0]).max() > 1e-3:
        raise ValueError(f"{name}: the slices are not parallel")
    gram = directions[0] @ directions[0].T
    if np.abs(gram - np.eye(3)).max() > 1e-2:
        raise ValueError(f"{name}: read, phase and slice directions are not perpendicular units")
    read, phase, through = directions[0]
    positions = np.array([tuple(line.position) for line in firsts], dtype=np.float64)
    order = np.argsort(positions @ through, kind="stable")
    step = _step(positions[order], through * field[2], name)
    steps = np.stack([phase * field[1] / shape[3], read * field[0] / shape[2], step], axis=1)
    corner = positions[order[0]] - steps[:, :2] @ (shape[3] // 2, shape[2] // 2)
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ steps
    affine[:3, 3] = LPS_TO_RAS @ corner
    return order, affine, float(np.linalg.norm(step))


def _directions(line: Any) -> NDArray[np.float64]:
    return np.array([tuple(line.read_dir), tuple(line.phase_dir), tuple(line.slice_dir)], float)


def _step(
    positions: NDArray[np.float64], single: NDArray[np.float64], name: str
) -> NDArray[np.float64]:
    count = len(positions)
    if count == 1:
        return single
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (count - 1)
    length = float(np.linalg.norm(step))
    off = np.linalg.norm(positions - positions[0] - np.arange(count)[:, None] * step, axis=1)
    if length == 0 or off.max() > _STEP_TOLERANCE * length:
        distances = np.linalg.norm(np.diff(positions, axis=0), axis=1).round(3).tolist()
        raise ValueError(f"{name}: slices are not evenly spaced: {distances[:8]} mm")
    return step
