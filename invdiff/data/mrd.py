"""K-space in the ISMRM raw data format (ISMRMRD), 2D Cartesian."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
from numpy.typing import NDArray

from invdiff.data._encoding import Encoding, parse_encoding
from invdiff.data._mrd_geometry import place_slices
from invdiff.data.finite import to_complex64
from invdiff.data.kspace import KSPACE_AXES, KSpace, crop_readout, sampled_locations

__all__ = ["find_ismrmrd_group", "read_ismrmrd"]

# readouts that are not part of the image
_SKIPPED_FLAGS = (
    ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
)
# counters that would need one image each
_SINGLE_COUNTERS = ("contrast", "phase", "repetition", "set")


def read_ismrmrd(path: str | os.PathLike[str]) -> KSpace:
    """Read the imaging readouts of a 2D Cartesian acquisition and place them on the encoded grid.

    Rows run along the readout, columns along ``kspace_encode_step_1``. Noise, calibration-only,
    navigator and similar readouts are passed over; repeated averages are averaged. Oversampling of
    the readout (an encoded field larger than the reconstructed one) is removed by cropping the
    image, except where an echo is sampled in part, which keeps the whole field. Slices are sorted
    by ``idx.slice``, or by position where the readouts have directions; then the affine places the
    image in the patient.

    Raises:
        ValueError: One line that names the file and what is not supported: another trajectory, 3D
            encoding, several contrasts, phases, repetitions or sets, reversed readouts, slices
            that differ; or damage, and values that are not finite.
    """
    path = Path(path)
    xml, acquisitions = _load(path)
    encoding = parse_encoding(xml, str(path))
    lines = [a for a in acquisitions if not any(a.is_flag_set(f) for f in _SKIPPED_FLAGS)]
    _check_encoding(encoding, path)
    _check_lines(lines, path)
    data = _gridded(lines, encoding, path)
    order, affine, gap = place_slices(lines, data.shape, encoding.field, str(path))
    data = to_complex64(data[order], str(path), KSPACE_AXES)
    kspace = KSpace(
        data=data,
        mask=sampled_locations(data, str(path)),
        spacing=(gap, encoding.field[0] / data.shape[2], encoding.field[1] / data.shape[3]),
        affine=affine,
        source=path,
        header=xml,
    )
    return _without_oversampling(kspace, encoding)


def find_ismrmrd_group(file: Any) -> str | None:
    """Name of the group of an HDF5 file that holds a header and readouts, or None."""
    for name, group in file.items():
        if isinstance(group, h5py.Group) and "xml" in group and "data" in group:
            return str(name)
    return None


def _load(path: Path) -> tuple[str, list[Any]]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            group = find_ismrmrd_group(file)
        if group is None:
            raise ValueError("no group with xml and data")
        with ismrmrd.Dataset(path, group, mode="r") as dataset:
            count = dataset.number_of_acquisitions()
            xml = dataset.read_xml_header()
            return xml.decode(), [dataset.read_acquisition(i) for i in range(count)]
    # h5py and ismrmrd report damage by many exceptions
    except Exception as error:
        raise ValueError(f"{path}: not a readable ISMRMRD file ({error})") from error


def _check_encoding(encoding: Encoding, path: Path) -> None:
    if encoding.trajectory != "cartesian":
        raise ValueError(f"{path}: expected a cartesian trajectory, got {encoding.trajectory!r}")
    if encoding.count > 1:
        raise ValueError(f"{path}: expected one encoding, got {encoding.count}")
    if encoding.matrix[2] > 1:
        raise ValueError(f"{path}: 3D encoding ({encoding.matrix[2]} partitions) is not supported")


def _check_lines(lines: list[Any], path: Path) -> None:
    if not lines:
        raise ValueError(f"{path}: no imaging readouts")
    for counter in (*_SINGLE_COUNTERS, "kspace_encode_step_2"):
        found = sorted({int(getattr(line.idx, counter)) for line in lines})
        if len(found) > 1:
            raise ValueError(f"{path}: expected one {counter}, got {len(found)}: {found[:5]}")
    if any(line.is_flag_set(ismrmrd.ACQ_IS_REVERSE) for line in lines):
        raise ValueError(f"{path}: reversed readouts (echo-planar) are not supported")
    channels = sorted({int(line.active_channels) for line in lines})
    if len(channels) > 1:
        raise ValueError(f"{path}: the number of coils varies: {channels}")


def _gridded(lines: list[Any], encoding: Encoding, path: Path) -> NDArray[np.complex64]:
    """Mean over averages on the encoded grid, shape (slices, coils, readout, phase)."""
    readout, phase, _ = encoding.matrix
    slices = sorted({int(line.idx.slice) for line in lines})
    coils = int(lines[0].active_channels)
    total = np.zeros((len(slices), coils, readout, phase), np.complex64)
    count = np.zeros((len(slices), 1, readout, phase), np.float32)
    seen = set()
    for line in lines:
        key = (int(line.idx.slice), int(line.idx.kspace_encode_step_1), int(line.idx.average))
        if key in seen:
            raise ValueError(f"{path}: (slice, kspace_encode_step_1, average) {key} occurs twice")
        seen.add(key)
        col = _column(key[1], encoding, path)
        samples, start = _samples(line, readout, path)
        where = (slices.index(key[0]), slice(None), slice(start, start + samples.shape[1]), col)
        total[where] += samples
        count[where] += 1
    return np.divide(total, np.maximum(count, 1), dtype=np.complex64)


def _column(step: int, encoding: Encoding, path: Path) -> int:
    phase = encoding.matrix[1]
    # partial Fourier and odd sizes: the header says which step is frequency 0
    centre = phase // 2 if encoding.phase_centre is None else encoding.phase_centre
    col = step - centre + phase // 2
    if not 0 <= col < phase:
        raise ValueError(
            f"{path}: kspace_encode_step_1 {step} lies outside the {phase} encoded lines "
            f"with centre {centre}"
        )
    return col


def _samples(line: Any, readout: int, path: Path) -> tuple[NDArray[np.complex64], int]:
    """Valid samples of a readout (coils, n), and the row at which they start."""
    first, last = int(line.discard_pre), int(line.number_of_samples) - int(line.discard_post)
    samples = line.data[:, first:last]
    centre = int(line.center_sample) - first
    # writers that leave center_sample unset mean a full echo
    start = 0 if line.center_sample == 0 and last - first == readout else readout // 2 - centre
    if start < 0 or start + samples.shape[1] > readout or samples.shape[1] == 0:
        raise ValueError(
            f"{path}: a readout of {samples.shape[1]} samples with centre {centre} does not fit "
            f"into {readout} encoded samples"
        )
    return samples, start


def _without_oversampling(kspace: KSpace, encoding: Encoding) -> KSpace:
    rows = round(kspace.data.shape[2] * encoding.recon_field[0] / encoding.field[0])
    echo_complete = not (kspace.mask != kspace.mask[:1]).any()
    if rows >= kspace.data.shape[2] or not echo_complete:
        return kspace
    return crop_readout(kspace, rows)
