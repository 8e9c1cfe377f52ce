"""The code that the documentation shows is run, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n(?P<code>.*?)```", re.DOTALL)
# written when the documentation is built
GENERATED = {"_build", "chapter", "gallery"}
PRINTED = re.compile(r"```text\n(?P<text>.*?)```", re.DOTALL)


def pages() -> list[str]:
    """Return all pages that hold Python."""
    paths = [TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))]
    names = [path.relative_to(TOP) for path in paths if BLOCK.search(path.read_text())]
    return [str(name) for name in names if GENERATED.isdisjoint(name.parts)]


@pytest.mark.parametrize("page", pages())
def test_code_prints_what_the_page_says(page, capsys, tmp_path, monkeypatch) -> None:
    text = (TOP / page).read_text()
    blocks = [match["code"] for match in BLOCK.finditer(text)]
    assert blocks
    monkeypatch.chdir(tmp_path)  # where the examples write
    names: dict[str, object] = {"__name__": "example"}
    for code in blocks:
        exec(compile(code, page, "exec", dont_inherit=True), names)  # as in a file of its own
    expected = "".join(match["text"] for match in PRINTED.finditer(text))
    printed, stated = capsys.readouterr().out.split(), expected.split()
    assert len(printed) == len(stated)
    assert all(map(_same, printed, stated)), printed


def _same(printed: str, stated: str) -> bool:
    """Compare words; numbers to one unit of the last digit, as processors round differently."""
    if not re.fullmatch(r"[-+]?\d*\.\d+", stated):
        return printed == stated
    unit = 10.0 ** -len(stated.partition(".")[2])
    return float(printed) == pytest.approx(float(stated), abs=1.01 * unit)
