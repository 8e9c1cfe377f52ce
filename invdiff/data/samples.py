"""Patient images that ship with the package; licences and sources in docs/data.md."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["list_samples", "sample_path"]


def list_samples() -> list[str]:
    """Names of the samples.

    A limb CT and a head MR, DICOM series of five slices each, and undersampled k-space of a head.
    """
    return sorted(folder.name for folder in _root().iterdir() if folder.is_dir())


def sample_path(name: str) -> Path:
    """Return the folder of a DICOM series, or the file of k-space, for ``read_scan``.

    Raises:
        ValueError: There is no sample of that name.
    """
    if name not in list_samples():
        raise ValueError(f"sample: expected one of {', '.join(list_samples())}, got {name!r}")
    folder = _root() / name
    arrays = sorted(folder.glob("*.npz"))
    return arrays[0] if arrays else folder


def _root() -> Path:
    return Path(str(files("invdiff.data"))) / "samples"
