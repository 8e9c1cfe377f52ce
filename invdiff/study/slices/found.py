"""Everything in a folder that slices can be cut from, however deep it lies."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from invdiff.data.dicom_folder import SeriesFiles, group_series
from invdiff.data.scan import scan_kind

__all__ = ["FoundScan", "find_scans"]


@dataclass(frozen=True)
class FoundScan:
    """A file, or the files of a DICOM series.

    Args:
        files: One, or all of a series.
        kind: How they are read, see ``scan_kind``.
        folder: Where it lies below the folder that was searched.
        name: Of the file; "" for a series of several.
        patient: PatientID of a series; "" elsewhere.
        modality: That a series says it has; "" elsewhere.
        description: SeriesDescription; "" elsewhere.
    """

    files: tuple[Path, ...]
    kind: str
    folder: PurePosixPath
    name: str
    patient: str = ""
    modality: str = ""
    description: str = ""

    @property
    def path(self) -> Path:
        """The file, or the folder of a series' first file."""
        return self.files[0] if len(self.files) == 1 else self.files[0].parent

    @property
    def words(self) -> str:
        """What patterns are searched in: folder, name and description, with slashes between."""
        return "/".join(word for word in (*self.folder.parts, self.name, self.description) if word)


def find_scans(root: Path) -> tuple[list[FoundScan], int]:
    """Search a folder and all below it; a file is found by itself.

    Hidden files and a DICOMDIR are passed over. Links are followed, and what several paths lead to
    is found once, at the first.

    Returns:
        What was found, sorted by folder, and how many other files there are.

    Raises:
        OSError: A folder that can't be read.
    """
    from tqdm import tqdm

    top = root if root.is_dir() else root.parent
    kinds: dict[str, list[Path]] = {}
    for file in _files(root):
        kinds.setdefault(_kind(file), []).append(file)
    others = len(kinds.pop("", ()))
    headers = tqdm(kinds.pop("dicom", ()), desc="headers", unit="file", disable=None)
    series, passed = group_series(headers)
    found = [_series(s, top) for s in series]
    found += [_file(file, kind, top) for kind, files in kinds.items() for file in files]
    return sorted(found, key=lambda scan: (scan.folder, scan.files)), others + passed


def _files(root: Path) -> Iterable[Path]:
    if not root.is_dir():
        return [root]
    # the first path to each file, which may be linked from several places
    found = {os.path.realpath(file): file for file in sorted(_walked(root), reverse=True)}
    return sorted(found.values())


def _walked(root: Path) -> Iterable[Path]:
    entered: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        # a link may lead back up
        if os.path.realpath(folder) in entered:
            folders.clear()
            continue
        entered.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and name != "DICOMDIR":
                yield Path(folder, name)


def _refuse(error: OSError) -> None:
    raise error


def _kind(file: Path) -> str:
    if not file.is_file():
        return ""
    try:
        return scan_kind(file)
    except ValueError:
        return ""


def _file(file: Path, kind: str, top: Path) -> FoundScan:
    return FoundScan((file,), kind, _below(file.parent, top), file.name)


def _series(series: SeriesFiles, top: Path) -> FoundScan:
    name = series.files[0].name if len(series.files) == 1 else ""
    folder = _below(series.files[0].parent, top)
    words = (series.patient, series.modality, series.description)
    return FoundScan(series.files, "dicom", folder, name, *words)


def _below(path: Path, top: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(top).as_posix())
