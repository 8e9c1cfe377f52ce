"""A study of numbers instead of an image: run, report, resume, refusals."""

import json
from typing import Literal

import numpy as np
import pytest
import yaml

from invdiff.study import laboratory
from invdiff.study.cli import main
from invdiff.study.scripted import Link, Outcome, ScriptedStudy, Table


def squares_to(count):
    return {"values": np.arange(count) ** 2}


class Squares(ScriptedStudy):
    kind: Literal["squares"] = "squares"
    count: int = 3

    def compute(self, stages):
        squares = stages.run("squares", lambda: squares_to(self.count))["values"]
        return Outcome(
            {"sum": float(squares.sum()), "list": squares.tolist()}, {"squares": squares}
        )

    def figures(self, metrics, arrays):
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().plot(arrays["squares"])
        return {"growth_of_squares": figure}

    def tables(self, metrics):
        return [Table("Squares", ("n", "sum"), ((str(self.count), str(metrics["sum"])),))]

    def summary(self, metrics):
        return f"The sum is {metrics['sum']}."


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setitem(laboratory.STUDIES, "squares", Squares)
    path = tmp_path / "squares.yaml"
    path.write_text(yaml.safe_dump({"kind": "squares", "title": "Squares of integers"}))
    return str(path)


def test_writes_numbers_figures_and_a_report(study, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["run", study, "--out", str(out), "--set", "count=4"]) == 0
    assert "sum   14" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        "arrays.npz",
        "config.yaml",
        "growth_of_squares.png",
        "metrics.json",
        "provenance.json",
        "report.html",
    }
    assert json.loads((out / "metrics.json").read_text()) == {"sum": 14.0, "list": [0, 1, 4, 9]}
    page = (out / "report.html").read_text()
    assert "Squares of integers" in page
    assert "The sum is 14.0." in page
    assert "http" not in page.split("data:image")[0]


def test_the_report_links_to_pages_of_the_study(study, tmp_path, monkeypatch):
    def links(self, folder):
        (folder / "a page.html").write_text("volumes")
        return [Link("Open the <volumes>", "a page.html")]

    monkeypatch.setattr(Squares, "links", links)
    out = tmp_path / "out"
    assert main(["run", study, "--out", str(out)]) == 0
    report = (out / "report.html").read_text()
    assert '<a href="a%20page.html">Open the &lt;volumes&gt;</a>' in report
    assert (out / "a page.html").is_file()


def test_the_report_can_be_drawn_again(study, tmp_path, capsys):
    out = tmp_path / "out"
    main(["run", study, "--out", str(out)])
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert (out / "report.html").read_bytes() == before


def test_an_interrupted_study_resumes(study, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Squares, "figures", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(["run", study, "--out", str(out)])
    monkeypatch.setitem(globals(), "squares_to", None)  # the stage must not be computed again
    assert main(["run", study, "--out", str(out), "--resume"]) == 0
    assert main(["run", study, "--out", str(out), "--resume"]) == 0


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("kind: cubes", "kind: expected one of"),
        ("kind: squares\ncuont: 3", "cuont: unknown key, did you mean count?"),
        ("kind: squares\ncount: many", "count: should be a valid integer"),
    ],
)
def test_bad_values_are_refused_in_one_line(study, tmp_path, capsys, line, complaint):
    path = tmp_path / "bad.yaml"
    path.write_text(line)
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
