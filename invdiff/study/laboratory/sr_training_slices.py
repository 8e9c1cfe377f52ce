"""The slices a super-resolution prior is trained on, and those that are kept from it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from invdiff.data import Image, read_scan, sample_path
from invdiff.study.base import Config
from invdiff.study.units import placed_slices
from invdiff.training import cropped

__all__ = ["Holdout", "HoldoutConfig", "SliceArchive", "SliceSource", "varied_parts"]

_log = logging.getLogger(__name__)

_NIFTI = (".nii", ".nii.gz")
# places tried for a part of a slice: most of a slice may be air
_NUM_PLACES = 8


@dataclass(frozen=True, eq=False)
class SliceArchive:
    """Slices, and who they are of.

    Args:
        values: ``(slices, side, side)`` uint8, 0 to 255 for [0, 1].
        subjects: A number for each slice; None where nobody knows.
    """

    values: Tensor
    subjects: NDArray[np.int64] | None


class SliceSource(Config):
    """An ``.npz`` of slices, or a folder with a file or a folder for each subject.

    Args:
        path: An ``.npz`` with ``x`` uint8 ``(slices, side, side)`` and, if it is known, ``subject``
            with a name or number for each slice; or a NIfTI file, a DICOM series, or a
            folder of NIfTI files, DICOM series and folders of NIfTI files, each one subject.
        modality: What a NIfTI file holds, which doesn't say it.
        size: Rows and columns that scans are resampled to; an ``.npz`` is taken as it is.
        pixel_mm: Edge of the pixels of scans; by default their field of view is filled.
    """

    path: str
    modality: Literal["CT", "MR", "other"] | None = None
    size: PositiveInt = 256
    pixel_mm: PositiveFloat | None = None

    def read(self, fallback: str | None = None) -> SliceArchive:
        """Return the slices, or those of a shipped sample if the path isn't there.

        CT becomes attenuation over 2.5 times that of water, MR is divided by its 99.7th
        percentile, both clipped to [0, 1].

        Raises:
            ValueError: One line: no such path, or what can't be used of it.
        """
        path = Path(self.path)
        if not path.exists() and fallback is not None:
            _log.warning("%s is not there: the sample %s is used in its place", path, fallback)
            path = sample_path(fallback)
        if not path.exists():
            raise ValueError(f"slices: {path}: no such file or folder")
        return _read_npz(path) if path.suffix == ".npz" else self._read_scans(path)

    def _read_scans(self, path: Path) -> SliceArchive:
        subjects = _scans_by_subject(path)
        stacks = [np.concatenate([self._slices(scan) for scan in scans]) for scans in subjects]
        lengths = [len(stack) for stack in stacks]
        return SliceArchive(
            torch.from_numpy(np.concatenate(stacks)), np.repeat(np.arange(len(stacks)), lengths)
        )

    def _slices(self, path: Path) -> NDArray[np.uint8]:
        modality = self.modality if path.name.endswith(_NIFTI) else None
        scan = read_scan(path, modality=modality)
        if not isinstance(scan, Image):
            raise ValueError(f"slices: {path}: expected images of a subject")
        image, units = placed_slices(scan, self.size, self.pixel_mm, str(path))
        return np.round(255 * units.relative(image.values)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Holdout:
    """What is learnt from, and what is kept from it.

    Args:
        training: ``(slices, side, side)`` uint8.
        heldout: The same of other subjects, or of a block far from the rest.
        by_subject: Whether the archive says that nobody is in both.
    """

    training: Tensor
    heldout: Tensor
    by_subject: bool


class HoldoutConfig(Config):
    """How slices are kept from the training: the last subjects, or the last block of slices.

    Args:
        fraction: Of the subjects; of the slices where there is but one or nobody knows.
        gap: Slices between training and held-out block that are in neither, since neighbours of
            one scan look alike; at most half of what is left. Subjects need no gap.
    """

    fraction: float = Field(default=0.15, gt=0, lt=1)
    gap: NonNegativeInt = 16

    def split(self, archive: SliceArchive) -> Holdout:
        """Return both parts.

        Raises:
            ValueError: Fewer than two slices.
        """
        values, subjects = archive.values, archive.subjects
        if len(values) < 2:
            raise ValueError(f"slices: expected two or more, got {len(values)}")
        people = np.unique(np.zeros(1) if subjects is None else subjects)
        if subjects is not None and len(people) > 1:
            kept = torch.from_numpy(np.isin(subjects, people[-self._count(len(people)) :]))
            return Holdout(values[~kept], values[kept], True)
        first = len(values) - self._count(len(values))
        end = first - min(self.gap, first // 2)
        return Holdout(values[:end], values[first:], False)

    def _count(self, total: int) -> int:
        return min(max(1, round(self.fraction * total)), total - 1)


def varied_parts(slices: Tensor, side: int, count: int, generator: torch.Generator) -> Tensor:
    """Return square parts of slices spread over a stack, in [-1, 1], where they are not air.

    Args:
        slices: ``(slices, side, side)`` uint8.
        side: Of the parts.
        count: Of parts, one a slice; all slices if they are fewer.
        generator: Draws eight places in each slice, of which the one of most contrast is taken.
    """
    chosen = torch.linspace(0, len(slices) - 1, min(count, len(slices))).round().long()
    stacks = slices[chosen].float().repeat(_NUM_PLACES, 1, 1)
    parts = cropped(stacks, side, generator).reshape(_NUM_PLACES, -1, side, side)
    best = parts.flatten(2).std(2).argmax(0)
    return 2 * parts[best, torch.arange(len(chosen))] / 255 - 1


def _read_npz(path: Path) -> SliceArchive:
    try:
        # a damaged archive would leave the file open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ("x", "subject") if name in stored}
    # a damaged archive fails in too many ways to list
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"slices: {path}: not a readable archive ({reason})") from error
    values: Any = arrays.get("x")
    if values is None or values.dtype != np.uint8 or not _is_square_stack(values.shape):
        found = "no x" if values is None else f"{values.dtype} of shape {values.shape}"
        raise ValueError(f"slices: {path}: expected x uint8 (slices, side, side), got {found}")
    if "subject" not in arrays:
        return SliceArchive(torch.from_numpy(values), None)
    names = arrays["subject"]
    if names.shape != (len(values),):
        raise ValueError(f"slices: {path}: {len(values)} slices, but subject is {names.shape}")
    return SliceArchive(torch.from_numpy(values), np.unique(names, return_inverse=True)[1])


def _is_square_stack(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and 0 not in shape and shape[1] == shape[2]


def _scans_by_subject(path: Path) -> list[list[Path]]:
    """Return the files and series of each subject; a path without any below is one itself."""
    if path.is_dir():
        below = [p for p in sorted(path.iterdir()) if not p.name.startswith(".")]
        subjects = [p for p in below if p.is_dir() or p.name.endswith(_NIFTI)]
        if subjects:
            return [_scans_of(subject) for subject in subjects]
    return [[path]]


def _scans_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [p for p in sorted(path.iterdir()) if p.name.endswith(_NIFTI)] or [path]
