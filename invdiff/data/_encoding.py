"""The part of an ISMRMRD header (XML) that says how k-space was encoded."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

__all__ = ["Encoding", "parse_encoding"]

_NAMESPACE = {"m": "http://www.ismrm.org/ISMRMRD"}


@dataclass(frozen=True)
class Encoding:
    """The first encoding of a header; axes are (readout, phase, partition or slice).

    Args:
        matrix: Encoded number of samples.
        field: Encoded field of view, mm.
        recon_matrix: Number of pixels of the intended image.
        recon_field: Its field of view, mm.
        trajectory: Such as ``"cartesian"``.
        phase_centre: The phase-encoding step at frequency 0; None if the header doesn't say.
        count: How many encodings the header has.
    """

    matrix: tuple[int, int, int]
    field: tuple[float, float, float]
    recon_matrix: tuple[int, int, int]
    recon_field: tuple[float, float, float]
    trajectory: str
    phase_centre: int | None
    count: int


def parse_encoding(xml: str | bytes, name: str) -> Encoding:
    """Parse a header.

    Raises:
        ValueError: Not an ISMRMRD header, or sizes that are missing or not positive.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise ValueError(f"{name}: damaged ISMRMRD header ({error})") from error
    encodings = root.findall("m:encoding", _NAMESPACE)
    if not encodings:
        raise ValueError(f"{name}: the ISMRMRD header has no encoding")
    first = encodings[0]
    centre = first.findtext("m:encodingLimits/m:kspace_encoding_step_1/m:center", None, _NAMESPACE)
    matrices = [_triple(first, f"m:{s}Space/m:matrixSize", name) for s in ("encoded", "recon")]
    fields = [_triple(first, f"m:{s}Space/m:fieldOfView_mm", name) for s in ("encoded", "recon")]
    return Encoding(
        matrix=_whole(matrices[0]),
        field=fields[0],
        recon_matrix=_whole(matrices[1]),
        recon_field=fields[1],
        trajectory=(first.findtext("m:trajectory", "", _NAMESPACE)).strip().lower(),
        phase_centre=None if centre is None else int(_number(centre, "center", name)),
        count=len(encodings),
    )


def _triple(encoding: ElementTree.Element, path: str, name: str) -> tuple[float, float, float]:
    texts = [encoding.findtext(f"{path}/m:{axis}", "", _NAMESPACE) for axis in "xyz"]
    label = path.replace("m:", "")
    x, y, z = (_number(text, label, name) for text in texts)
    if min(x, y, z) <= 0:
        raise ValueError(f"{name}: {label}: expected positive sizes, got {x:g} {y:g} {z:g}")
    return x, y, z


def _whole(sizes: tuple[float, float, float]) -> tuple[int, int, int]:
    x, y, z = sizes
    return int(x), int(y), int(z)


def _number(text: str, label: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name}: {label}: expected a number, got {text!r}") from None
    if not abs(number) < 1e6:
        raise ValueError(f"{name}: {label}: expected a number below 1e6, got {text!r}")
    return number
