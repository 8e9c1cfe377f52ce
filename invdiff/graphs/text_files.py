"""Text files that may be compressed."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

__all__ = ["read_text"]


def read_text(path: Path) -> str:
    """Return the UTF-8 text of a file, unpacked where its name ends in ``.gz``.

    Raises:
        ValueError: The file is missing, truncated or not such a text.
    """
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: not readable ({reason})") from error
