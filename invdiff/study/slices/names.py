"""Whose a scan is and of which class, by its place and its header."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import model_validator

from invdiff.study.base import Config
from invdiff.study.slices.found import FoundScan

__all__ = ["NamesConfig", "UnnamedError"]

_SUFFIX = re.compile(r"\.(nii\.gz|nii|npz|npy|h5|hdf5|mrd|dcm|ima)$", re.IGNORECASE)
_BIDS = re.compile(r"(sub-[0-9A-Za-z]+)(?:[_.]|$)")


class UnnamedError(ValueError):
    """What neither a file nor the settings say; that is no damage that can be left out."""


class NamesConfig(Config):
    """How subjects and classes are named.

    Args:
        subject_pattern: Regular expression with one group, searched in the path below the folder
            (of a DICOM series its folder and SeriesDescription), such as ``(case[0-9]+)``. By
            default a DICOM file's PatientID is the name, and of others that of the patient whose
            DICOM files lie in the same place, or the name of this place: ``sub-...`` as in BIDS, or
            the top-level file or folder, below that of the class if this is named so.
        labels: Classes for conditioning: none, the name of the top-level folder, what
            ``label_pattern`` finds, or the array ``label`` of an ``.npz``.
        label_pattern: Regular expression with one group, searched in the same path, such as
            ``(T1|FLAIR)``.
    """

    subject_pattern: str | None = None
    labels: Literal["none", "folder", "pattern", "array"] = "none"
    label_pattern: str | None = None

    @model_validator(mode="after")
    def _check_patterns(self) -> Self:
        if (self.labels == "pattern") != (self.label_pattern is not None):
            raise ValueError("label_pattern: goes with labels: pattern")
        for name in ("subject_pattern", "label_pattern"):
            _check_pattern(name, getattr(self, name))
        return self

    def subjects(self, scans: Sequence[FoundScan], root_name: str) -> list[str]:
        """Return the name of each scan's subject; "" where it may be any of several patients.

        Args:
            scans: All, since what has no name of its own is known by what lies beside it.
            root_name: Name of DICOM files that lie loose and have no PatientID.

        Raises:
            UnnamedError: The pattern isn't in a path.
        """
        if self.subject_pattern is not None:
            return [_found("subject_pattern", self.subject_pattern, scan) for scan in scans]
        places = [self._place(scan, root_name) for scan in scans]
        patients: dict[str, set[str]] = {}
        for place, scan in zip(places, scans, strict=True):
            patients.setdefault(place, set()).update({scan.patient} - {""})
        return [
            scan.patient or _only(patients[place], place)
            for place, scan in zip(places, scans, strict=True)
        ]

    def _place(self, scan: FoundScan, root_name: str) -> str:
        """Return what all scans of a subject share of their path."""
        bids = next((m[1] for m in map(_BIDS.match, (*scan.folder.parts, scan.name)) if m), None)
        folders = scan.folder.parts[1:] if self.labels == "folder" else scan.folder.parts
        if bids is not None or folders:
            return bids or folders[0]
        # a name of a DICOM file is no more than a number
        return root_name if scan.kind == "dicom" else _SUFFIX.sub("", scan.name) or root_name

    def label(self, scan: FoundScan) -> str | None:
        """Return the class of all slices of a scan; None if slices have none or their own.

        Raises:
            UnnamedError: Nothing says the class.
        """
        if self.labels == "pattern":
            return _found("label_pattern", str(self.label_pattern), scan)
        if self.labels != "folder":
            return None
        if not scan.folder.parts:
            raise UnnamedError(f"slices: {scan.path}: no class, since it lies in no folder of one")
        return scan.folder.parts[0]


def _only(patients: set[str], place: str) -> str:
    if not patients:
        return place
    return next(iter(patients)) if len(patients) == 1 else ""


def _check_pattern(name: str, pattern: str | None) -> None:
    try:
        groups = 1 if pattern is None else re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{name}: not a regular expression ({error}), got {pattern!r}") from None
    if groups != 1:
        raise ValueError(f"{name}: expected one group in parentheses, got {pattern!r}")


def _found(name: str, pattern: str, scan: FoundScan) -> str:
    match = re.search(pattern, scan.words)
    if match is None or not match[1]:
        raise UnnamedError(f"slices: {scan.path}: {name} {pattern!r} is not in {scan.words}")
    return match[1]
