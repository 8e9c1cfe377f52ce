"""Lists of molecules as SMILES, in text files."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from invdiff.graphs.text_files import read_text

__all__ = ["read_smiles"]


def read_smiles(path: str | Path, column: str = "SMILES") -> list[str]:
    """Read the SMILES of a file, in its order.

    Args:
        path: A table, ``.csv``, whose first line names its columns; or ``.smi``, a molecule in
            each line, the SMILES first. Either may be compressed, ``.gz``.
        column: Name of the column of a table.

    Raises:
        ValueError: The file isn't readable, has no such column, or a row has no SMILES.
    """
    path = Path(path)
    kind = Path(path.name.removesuffix(".gz")).suffix
    if kind not in (".csv", ".smi"):
        raise ValueError(f"path: expected .csv or .smi, also .gz, got {path.name!r}")
    text = read_text(path)
    if kind == ".smi":
        return [line.split()[0] for line in text.splitlines() if line.strip()]
    return _of_table(text, path, column)


def _of_table(text: str, path: Path, column: str) -> list[str]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    found = []
    try:
        names = rows.fieldnames or []
        if column not in names:
            raise ValueError(f"{path}: expected a column {column!r}, got {', '.join(names)!r}")
        for row in rows:
            smiles = (row[column] or "").strip()
            if not smiles:
                raise ValueError(f"{path}: line {rows.line_num}: no SMILES")
            found.append(smiles)
    except csv.Error as error:
        raise ValueError(f"{path}: line {rows.line_num}: {error}") from error
    return found
