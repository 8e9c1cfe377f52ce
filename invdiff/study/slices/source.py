"""Where the slices lie that a prior is trained on, and how they are read."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt, field_validator

from invdiff.data import Image, KSpace, read_scan, sample_path
from invdiff.data.dicom import read_series
from invdiff.study.slices.archive import archived, read_archive
from invdiff.study.slices.cut import CutConfig, encoded
from invdiff.study.slices.found import FoundScan, find_scans
from invdiff.study.slices.names import NamesConfig, UnnamedError
from invdiff.study.slices.pieces import Piece, joined, thinned
from invdiff.study.slices.reconstructed import reconstructed
from invdiff.training.slice_set import SliceSet

__all__ = ["SliceSource"]

_log = logging.getLogger(__name__)

# what has no modality and is below that may be air in HU
_LOWEST = -500


class SliceSource(CutConfig, NamesConfig):
    """A file, or a folder of files and folders nested at will.

    What is read: ``.npz`` with ``x`` uint8 (0 to 255), floating point (0 to 1) or complex
    ``(slices, side, side)`` and, if they are known, ``subject`` and ``label`` with a name or number
    for each slice; NIfTI; DICOM, grouped by PatientID and SeriesInstanceUID wherever its files lie;
    ``.npy`` images; and k-space (fastMRI, ISMRMRD, complex ``.npy``).

    Args:
        path: Of the file or folder.
        modality: What NIfTI files hold, which don't say it; series of another one are left out.
        only_pattern: Regular expression searched in the path below the folder (of a DICOM series
            its folder and SeriesDescription); scans without it, such as masks, are left out.
        complex: Whether slices are complex, in two channels; only of complex sources.
        skip_damaged: Leave out what can't be read, with a warning, in place of refusing it.
        max_slices: Most slices of a subject, spread evenly over those there are.
    """

    path: str
    modality: Literal["CT", "MR", "other"] | None = None
    only_pattern: str | None = None
    complex: bool = False
    skip_damaged: bool = False
    max_slices: PositiveInt | None = None

    @field_validator("only_pattern")
    @classmethod
    def _check_only(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from None
        return pattern

    def check(self, fallback: str | None = None) -> None:
        """Refuse a path that isn't there, unless there is a sample for its place.

        Raises:
            ValueError: One line: which.
        """
        if fallback is None and not Path(self.path).exists():
            raise ValueError(f"slices: {self.path}: no such file or folder")

    def read(self, fallback: str | None = None) -> SliceSet:
        """Return the slices, or those of a shipped sample if the path isn't there.

        CT becomes attenuation over 2.5 times that of water, MR is divided by its 99.7th
        percentile, both clipped to [0, 1], which is [-1, 1] to a prior; magnitudes of complex
        slices are clipped at 1.

        Raises:
            ValueError: One line: no such path, what can't be used of it, or a slice without a
                class.
        """
        self.check(fallback)
        path = Path(self.path)
        if not path.exists() and fallback is not None:
            _log.warning("%s is not there: the sample %s is used in its place", path, fallback)
            path = sample_path(fallback)
        pieces = self._pieces(self._scans(path), path)
        if not pieces:
            raise ValueError(f"slices: {path}: no slices in it, empty or all left out")
        slices = joined(pieces)
        return slices if self.max_slices is None else thinned(slices, self.max_slices)

    def _scans(self, path: Path) -> list[FoundScan]:
        found, others = find_scans(path)
        if others:
            _log.warning("%s: %d files that aren't images of a patient are skipped", path, others)
        named = [s for s in found if self.only_pattern is None or re.search(self.only_pattern,
                                                                            s.words)]  # fmt: skip
        scans = [scan for scan in named if self._has_modality(scan)]
        for rest, what in (
            (len(found) - len(named), f"without {self.only_pattern}"),
            (len(named) - len(scans), f"that aren't {self.modality}"),
        ):
            if rest:
                _log.warning("%s: %d scans %s are left out", path, rest, what)
        return scans

    def _has_modality(self, scan: FoundScan) -> bool:
        found = "MR" if scan.kind == "hdf5" else scan.modality
        known = found if found in ("", "CT", "MR") else "other"
        return self.modality is None or not known or known == self.modality

    def _pieces(self, scans: Sequence[FoundScan], root: Path) -> list[Piece]:
        from tqdm import tqdm

        pieces, damaged = [], []
        subjects = self.subjects(scans, root.name)
        if unknown := subjects.count(""):
            _log.warning("%s: %d scans may be of any of several patients", root, unknown)
        bar = tqdm(scans, desc="slices", unit="scan", disable=None)
        for scan, subject in zip(bar, subjects, strict=True):
            label = self.label(scan)
            try:
                piece = self._piece(scan, subject, label, is_alone=len(scans) == 1)
            except (ValueError, OSError) as error:
                if isinstance(error, UnnamedError) or len(scans) == 1:
                    raise
                if not self.skip_damaged:
                    raise ValueError(f"{error}; skip_damaged: true leaves it out") from error
                damaged.append(str(error))
                continue
            pieces.append(piece)
        if damaged:
            _log.warning("%s: %d scans are left out, such as: %s", root, len(damaged), damaged[0])
        return [piece for piece in pieces if len(piece.values)]

    def _piece(self, scan: FoundScan, subject: str, label: str | None, *, is_alone: bool) -> Piece:
        name = str(scan.path)
        if scan.path.suffix.lower() == ".npz":
            # one archive is one subject only if it lies among others
            unknown = is_alone and self.subject_pattern is None
            return self._from_archive(scan.path, "" if unknown else subject, label)
        if self.labels == "array":
            raise UnnamedError(f"slices: {name}: no class, since it is no .npz with an array label")
        values = encoded(self._shares(scan, name))
        return Piece(values, [subject] * len(values), self._each(label, values), name)

    def _shares(self, scan: FoundScan, name: str) -> NDArray[Any]:
        read = _read(scan, self.modality)
        if isinstance(read, KSpace):
            images = reconstructed(read, self.side, complex_valued=self.complex)
            return self.shares_of_stack(images, name)[1]
        if self.complex:
            raise ValueError(f"slices: {name}: complex: true needs k-space or complex slices")
        return self.shares_of_image(read, name)

    def _from_archive(self, path: Path, subject: str, label: str | None) -> Piece:
        archive, name = read_archive(path), str(path)
        rows, values = archived(archive.values, self, name, complex_valued=self.complex)
        subjects, labels = [subject] * len(rows), self._each(label, values)
        if archive.subjects is not None and self.subject_pattern is None:
            subjects = archive.subjects[rows].tolist()
        if self.labels == "array":
            if archive.labels is None:
                raise UnnamedError(f"slices: {name}: no class, since it has no array label")
            labels = archive.labels[rows].tolist()
        return Piece(values, subjects, labels, name)

    @staticmethod
    def _each(label: str | None, values: NDArray[Any]) -> list[str] | None:
        return None if label is None else [label] * len(values)


def _read(scan: FoundScan, modality: Any) -> Image | KSpace:
    if scan.kind == "dicom":
        return read_series(scan.files, source=scan.path)
    read = read_scan(scan.path, modality=modality if scan.kind == "nifti" else None)
    if isinstance(read, Image) and modality is None and read.values.min() < _LOWEST:
        raise UnnamedError(
            f"slices: {scan.path}: values down to {read.values.min():g}, as HU have: modality: CT "
            "if they are, otherwise MR or other"
        )
    if isinstance(read, Image | KSpace):
        return read
    values = read.values
    if values.dtype != np.float32 or values.ndim not in (2, 3):
        raise ValueError(
            f"slices: {scan.path}: expected real images (slices, rows, columns) or k-space, got "
            f"{values.dtype} of shape {values.shape}"
        )
    # no geometry: the affine only has to be one
    return Image(values.reshape(-1, *values.shape[-2:]), np.eye(4), source=scan.path)
