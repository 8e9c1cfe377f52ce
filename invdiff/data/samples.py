"""Patient images that ship with the package; licences and sources in docs/data.md."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["list_samples", "sample_path"]


def list_samples() -> list[str]:
    """Names of the samples, each a DICOM series of five slices: a limb CT and a head MR."""
    return sorted(folder.name for folder in _root().iterdir() if folder.is_dir())


def sample_path(name: str) -> Path:
    """Return the folder of a sample, for ``read_dicom``.

    Raises:
        ValueError: There is no sample of that name.
    """
    if name not in list_samples():
        raise ValueError(f"sample: expected one of {', '.join(list_samples())}, got {name!r}")
    return _root() / name


def _root() -> Path:
    return Path(str(files("invdiff.data"))) / "samples"
