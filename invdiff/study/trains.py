"""Studies that ``invdiff train`` runs."""

from __future__ import annotations

from pathlib import Path

from invdiff.study.scripted import ScriptedStudy

__all__ = ["TrainingStudy"]


class TrainingStudy(ScriptedStudy):
    """A study that trains what it writes; further processes of a launcher may help the main one."""

    def take_part(self, folder: Path) -> None:
        """Train with the main process when it does; one that is small enough trains alone.

        Args:
            folder: Of the stages of the main process.
        """

    def end_parts(self, *, refused: bool = False) -> None:
        """Tell the processes of ``take_part`` that there is nothing more to do.

        Args:
            refused: Something is wrong, and the main process says it.
        """
