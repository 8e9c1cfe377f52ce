"""Fixtures shared by the tests of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_files import DicomSeries


@pytest.fixture
def dicom_series(tmp_path: Path) -> Callable[[str], DicomSeries]:
    return lambda name="series": DicomSeries(tmp_path / name)


@pytest.fixture
def voxels() -> np.ndarray:
    """Distinct int16 values, shape (5, 6, 4): slices, rows, cols."""
    return np.arange(5 * 6 * 4, dtype=np.int16).reshape(5, 6, 4) * 7 - 300


@pytest.fixture
def world() -> Callable[..., np.ndarray]:
    """RAS mm of a voxel (slice, row, col) of an Image."""
    return lambda image, s, r, c: (image.affine @ (c, r, s, 1.0))[:3]
