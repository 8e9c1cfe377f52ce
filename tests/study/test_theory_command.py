"""The command runs the facts that are named, writes what it read, and fails with a fact."""

from __future__ import annotations

import json

import pytest

from invdiff.study.cli import main
from invdiff.theory import chapter
from invdiff.theory.chapter import Fact, Reading, Section


def fact(key, measured):
    def check():
        if measured is None:
            raise ZeroDivisionError("no number")
        reason = "it is <small>"
        return Reading(measured, 1.0, 0.1, reason, lambda axes: axes.plot([0, 1], [0, measured]))

    return Fact(key, f"{key} is one.", r"x = \tfrac12", ("efron2011",), check)


@pytest.fixture(autouse=True)
def two_sections(monkeypatch):
    first = Section("first", "First", "Text.", (fact("near", 1.05), fact("far", 1.2)))
    second = Section("second", "Second", "Text.", (fact("broken", None), fact("nan", float("nan"))))
    monkeypatch.setattr(chapter, "SECTIONS", (first, second))


def test_facts_that_hold_end_well(tmp_path, capsys):
    assert main(["theory", "near", "--json", str(tmp_path / "f.json")]) == 0
    assert "1 of 1 facts hold" in capsys.readouterr().out
    content = json.loads((tmp_path / "f.json").read_text())
    assert (content["count"], content["holding"]) == (1, 1)
    row = content["facts"][0]
    assert (row["section"], row["measured"], row["exact"], row["holds"]) == ("first", 1.05, 1, True)


def test_every_fact_that_fails_is_named_and_ends_with_one(tmp_path, capsys):
    out = tmp_path / "page"
    assert main(["theory", "--out", str(out), "--json", str(tmp_path / "f.json")]) == 1
    printed = capsys.readouterr().out
    assert "not within tolerance: far, broken, nan" in printed
    assert "the check failed: ZeroDivisionError: no number" in printed
    rows = {row["key"]: row for row in json.loads((tmp_path / "f.json").read_text())["facts"]}
    assert [key for key, row in rows.items() if not row["holds"]] == ["far", "broken", "nan"]
    assert rows["nan"]["measured"] is None
    assert rows["broken"]["error"] == "ZeroDivisionError: no number"
    page = (out / "report.html").read_text()
    assert page.count("<math") == 4
    assert "it is &lt;small&gt;" in page
    assert sorted(path.name for path in out.glob("*.png")) == ["far.png", "nan.png", "near.png"]


def test_a_section_names_its_facts(capsys):
    assert main(["theory", "second", "--list"]) == 0
    assert capsys.readouterr().out.split() == [
        "second:",
        "Second",
        "broken",
        "broken",
        "is",
        "one.",
        "nan",
        "nan",
        "is",
        "one.",
    ]


def test_unknown_names_are_refused(capsys):
    assert main(["theory", "near", "missing"]) == 2
    assert "no section and no fact is called 'missing'" in capsys.readouterr().err
    assert main(["theory", "brokn"]) == 2
    line = "no section and no fact is called 'brokn', did you mean broken?"
    assert line in capsys.readouterr().err


def test_nothing_is_replaced_unasked(tmp_path, capsys):
    file, out = tmp_path / "f.json", tmp_path / "page"
    words = ["theory", "near", "--json", str(file), "--out", str(out)]
    assert main(words) == 0
    assert main(words) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.json", "page"]


def test_a_missing_folder_is_refused_before_the_work(tmp_path, capsys):
    assert main(["theory", "near", "--json", str(tmp_path / "no" / "f.json")]) == 2
    assert "holds" not in capsys.readouterr().out
