"""Studies that are more than one reconstruction: what they have in common."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from invdiff.data import Image
from invdiff.study.base import Config
from invdiff.study.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Arrays", "Link", "Metrics", "Outcome", "ScriptedStudy", "Table"]

Metrics = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a study found.

    Args:
        metrics: Flat: name to number or list of numbers; written to ``metrics.json``.
        arrays: What the figures need beyond the metrics; written to ``arrays.npz``.
        images: Volumes in the patient, by name; written to ``volumes`` as NIfTI, and to ``dicom``
            as series where they came from DICOM.
        folders: What else is kept, by the name of its folder: a function that fills it.
    """

    metrics: Metrics
    arrays: Arrays = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    folders: dict[str, Callable[[Path], None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Args:
        title: Heading.
        columns: Names of the columns.
        rows: Cells, formatted.
        caption: What the numbers mean.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Link:
    """A page beside the report.

    Args:
        title: What is clicked, such as "Open the volumes".
        file: Its name in the folder of the report, or relative to it.
    """

    title: str
    file: str


class ScriptedStudy(Config, abc.ABC):
    """A study with its own code; a subclass adds a literal ``kind`` and its choices.

    Args:
        name: Short name.
        title: Heading of the report.
        seed: Of all random numbers.
        device: Where to compute.
    """

    name: str = "study"
    title: str = ""
    seed: int = 0
    device: str = "cpu"

    def check_inputs(self) -> None:
        """Refuse, before any work, to run without files or packages that it needs.

        Raises:
            ValueError: One line on what is missing.
        """

    @abc.abstractmethod
    def compute(self, stages: Stages) -> Outcome:
        """Do all the work, in stages that are kept when the run is interrupted."""

    @abc.abstractmethod
    def figures(self, metrics: Metrics, arrays: Arrays) -> dict[str, Figure]:
        """Draw figures by name, from what is stored alone."""

    @abc.abstractmethod
    def tables(self, metrics: Metrics) -> list[Table]:
        """Return the tables of the report."""

    @abc.abstractmethod
    def summary(self, metrics: Metrics) -> str:
        """Say in two or three sentences what was found."""

    def captions(self) -> dict[str, str]:
        """Say what the figures show, by name."""
        return {}

    def links(self, folder: Path) -> list[Link]:
        """Write further pages into the folder of the report, and say what to link to."""
        return []
