"""Every experiment has its page, with the command that makes it and pictures that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from invdiff.study.load import list_experiments

TOP = Path(__file__).parents[1]
PAGES = TOP / "docs" / "experiments"
COMMAND = re.compile(r"```shell\n(?P<command>.*?)```", re.DOTALL)
PICTURE = re.compile(r"!\[(?P<alt>[^]]*)\]\((?P<path>[^)]+)\)")


@pytest.mark.parametrize("name", list_experiments())
def test_an_experiment_has_a_page_with_its_command(name) -> None:
    text = (PAGES / f"{name}.md").read_text()
    assert text.startswith("# ")
    commands = [match["command"] for match in COMMAND.finditer(text)]
    assert any(re.search(rf"invdiff (run|train|sweep) {name} ", command) for command in commands)


def test_all_files_of_experiments_are_listed() -> None:
    files = {path.stem for path in (TOP / "experiments").glob("*.yaml")}
    assert files == set(list_experiments())
    assert {path.stem for path in PAGES.glob("*.md")} == {*files, "index"}


def test_pictures_exist_are_described_and_used() -> None:
    used = set()
    for page in PAGES.glob("*.md"):
        for match in PICTURE.finditer(page.read_text()):
            assert match["alt"], page.name
            used.add(PAGES / match["path"])
    assert used == set(PAGES.glob("*.png"))
    assert all(path.stat().st_size < 120_000 for path in used)
