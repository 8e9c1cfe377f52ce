"""Planes of one series, checked, sorted and placed."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from invdiff.data._dicom_frames import Frame

__all__ = ["LPS_TO_RAS", "patient_affine", "sorted_series"]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])

# decimal text in headers: differences below these are rounding, not another geometry
_COSINE_TOLERANCE = 1e-4
_SPACING_TOLERANCE = 1e-4
# a slice may lie this share of the spacing away from where a uniform stack has it
_STEP_TOLERANCE = 0.1


def sorted_series(frames: list[Frame]) -> list[Frame]:
    """Check that the planes form one uniform stack and sort them along its normal.

    The order runs to the patient's left, back or head, whichever is closest to the normal; so it
    doesn't depend on how rows and columns run.

    Raises:
        ValueError: Mixed series, duplicates or a missing slice, naming the files.
    """
    for frame in frames[1:]:
        _check_same(frames[0], frame)
    ordered = sorted(frames, key=lambda frame: float(frame.position @ _normal(frames[0])))
    _check_distinct(ordered)
    _check_uniform(ordered)
    return ordered


def patient_affine(ordered: list[Frame]) -> NDArray[np.float64]:
    """Affine from (col, row, slice, 1) to RAS mm of a sorted series."""
    first = ordered[0]
    # ImageOrientationPatient: first the direction in which the column index grows
    along_cols = first.cosines[:3] * first.spacing[1]
    along_rows = first.cosines[3:] * first.spacing[0]
    affine = np.eye(4)
    affine[:3, :3] = LPS_TO_RAS @ np.stack([along_cols, along_rows, _step(ordered)], axis=1)
    affine[:3, 3] = LPS_TO_RAS @ first.position
    return affine


def _normal(frame: Frame) -> NDArray[np.float64]:
    normal = np.cross(frame.cosines[:3], frame.cosines[3:])
    return normal * np.sign(normal[np.argmax(np.abs(normal))])


def _step(ordered: list[Frame]) -> NDArray[np.float64]:
    """Vector from one slice to the next; not along the normal where the gantry is tilted."""
    if len(ordered) == 1:
        return _normal(ordered[0]) * ordered[0].thickness
    return (ordered[-1].position - ordered[0].position) / (len(ordered) - 1)


def _check_same(first: Frame, other: Frame) -> None:
    pairs = {
        "SeriesInstanceUID": (first.series, other.series),
        "Modality": (first.modality, other.modality),
        "size": (first.values.shape, other.values.shape),
        "RescaleType": (first.hounsfield, other.hounsfield),
    }
    different = [key for key, (a, b) in pairs.items() if a != b]
    pairs["ImageOrientationPatient"] = (first.cosines.tolist(), other.cosines.tolist())
    pairs["PixelSpacing"] = (first.spacing.tolist(), other.spacing.tolist())
    if not np.allclose(first.cosines, other.cosines, rtol=0, atol=_COSINE_TOLERANCE):
        different.append("ImageOrientationPatient")
    if not np.allclose(first.spacing, other.spacing, rtol=_SPACING_TOLERANCE, atol=0):
        different.append("PixelSpacing")
    if different:
        key = different[0]
        raise ValueError(
            f"{first.name} and {other.name} are not one series: "
            f"{key} {pairs[key][0]} and {pairs[key][1]}"
        )


def _check_distinct(ordered: list[Frame]) -> None:
    instances: dict[str, Frame] = {}
    for frame in ordered:
        twin = instances.setdefault(frame.instance, frame)
        if twin is not frame:
            raise ValueError(f"{twin.name} and {frame.name} are the same image (SOPInstanceUID)")
    for before, after in itertools.pairwise(ordered):
        if np.linalg.norm(after.position - before.position) < 1e-3:
            raise ValueError(
                f"{before.name} and {after.name} lie at the same position "
                f"{before.position.tolist()}: duplicates, or several time points or echoes"
            )


def _check_uniform(ordered: list[Frame]) -> None:
    if len(ordered) < 3:
        return
    positions = np.stack([frame.position for frame in ordered])
    expected = positions[0] + np.arange(len(ordered))[:, None] * _step(ordered)
    step = float(np.linalg.norm(_step(ordered)))
    off = np.linalg.norm(positions - expected, axis=1)
    if off.max() <= _STEP_TOLERANCE * step:
        return
    steps = np.diff(positions, axis=0)
    usual = np.median(steps, axis=0)
    worst = int(np.argmax(np.linalg.norm(steps - usual, axis=1)))
    raise ValueError(
        f"{ordered[worst].name} and {ordered[worst + 1].name} are "
        f"{np.linalg.norm(steps[worst]):.4g} mm apart, expected {np.linalg.norm(usual):.4g} mm: "
        "a slice is missing or the spacing is not uniform"
    )
