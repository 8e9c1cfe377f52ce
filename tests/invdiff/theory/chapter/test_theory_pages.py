"""The pages of the theory name every fact, in the section where it is."""

from __future__ import annotations

import re
from pathlib import Path

from invdiff.theory.chapter import SECTIONS

FOLDER = Path(__file__).parents[4] / "docs" / "theory"
LISTED = re.compile(r"((?:`[a-z0-9-]+`,?\s*)+)in\s+\{doc\}`/chapter/([a-z-]+)`")


def test_pages_name_every_fact_in_its_section() -> None:
    named: dict[str, set[str]] = {section.key: set() for section in SECTIONS}
    for page in FOLDER.glob("*.md"):
        facts = page.read_text().partition("\n## Facts\n")[2]
        for keys, section in LISTED.findall(facts):
            named[section] |= set(re.findall(r"`([a-z0-9-]+)`", keys))
    assert named == {s.key: {fact.key for fact in s.facts} for s in SECTIONS}


def test_index_lists_every_section() -> None:
    index = (FOLDER / "index.md").read_text()
    assert re.findall(r"^\.\./chapter/(.+)$", index, re.M) == [s.key for s in SECTIONS]
