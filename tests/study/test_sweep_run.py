"""A sweep in this process: what is run, kept, refused, told, and what the tables hold."""

import csv
import statistics
from typing import Literal

import numpy as np
import pytest
import yaml

from invdiff.study import laboratory
from invdiff.study.cli import main
from invdiff.study.scripted import Outcome, ScriptedStudy
from invdiff.study.sweep import Spread, Sweep, report
from invdiff.study.sweep.folders import SweepFolder

CALLS = []


class Line(ScriptedStudy):
    kind: Literal["line"] = "line"
    slope: float = 1.0
    broken: bool = False

    def compute(self, stages):
        def first():
            CALLS.append(("first", self.slope, self.seed))
            return {"value": np.asarray(self.slope * self.seed)}

        value = float(stages.run("first", first)["value"])
        CALLS.append(("second", self.slope, self.seed))
        if (self.slope, self.seed) in BROKEN:
            raise BROKEN[self.slope, self.seed]
        return Outcome({"value": value, "pair": [1, 2], "good": True} | {"seconds": 0.5})

    def figures(self, metrics, arrays):
        return {}

    def tables(self, metrics):
        return []

    def summary(self, metrics):
        return ""


BROKEN = {}
SWEEP = {
    "kind": "sweep",
    "title": "Lines",
    "base": {"kind": "line"},
    "axes": {
        "slope": {"key": "slope", "values": [0.5, 2]},
        "seed": {"key": "seed", "values": [1, 2, 4]},
    },
    "repeats": ["seed"],
    "metrics": ["value"],
}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Run the sweep with changes; give the exit status."""
    monkeypatch.setitem(laboratory.STUDIES, "line", Line)
    CALLS.clear()
    BROKEN.clear()

    def sweep(*words, **changes):
        path = tmp_path / "lines.yaml"
        path.write_text(yaml.safe_dump(SWEEP | changes, sort_keys=False))
        words = ["--workers", "0", *words]
        return main(["sweep", str(path), "--out", str(tmp_path / "out"), *words])

    return sweep


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_table_has_a_line_for_each_cell(sweep, tmp_path):
    assert sweep() == 0
    rows = read(tmp_path / "out" / "table.csv")
    assert [(r["slope"], r["seed"], float(r["value"]), r["status"]) for r in rows] == [
        (str(slope), str(seed), slope * seed, "finished")
        for slope in (0.5, 2)
        for seed in (1, 2, 4)
    ]
    assert all(float(row["wall_seconds"]) >= 0 for row in rows)


def test_summary_has_mean_and_spread_over_the_repeats(sweep, tmp_path):
    assert sweep() == 0
    for row, slope in zip(read(tmp_path / "out" / "summary.csv"), (0.5, 2), strict=True):
        values = [slope * seed for seed in (1, 2, 4)]
        assert float(row["mean"]) == pytest.approx(statistics.mean(values), rel=1e-12)
        assert float(row["std"]) == pytest.approx(statistics.stdev(values), rel=1e-12)
        assert [float(row[k]) for k in ("count", "min", "max")] == [3, values[0], values[-1]]


def test_a_single_repeat_has_no_spread(sweep, tmp_path):
    assert sweep(repeats=[]) == 0
    assert {row["std"] for row in read(tmp_path / "out" / "summary.csv")} == {""}


def test_all_plain_numbers_are_shown_if_none_is_chosen(sweep, tmp_path):
    assert sweep(metrics=[]) == 0
    header = list(read(tmp_path / "out" / "table.csv")[0])
    columns = ["cell", "slope", "seed", "status", "wall_seconds", "value", "seconds", "error"]
    assert header == columns


def test_page_shows_means_links_and_figures(sweep, tmp_path):
    assert sweep() == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Lines" in page
    assert "1.17 &plusmn; 0.76" in page
    assert '<a href="cells/slope-0.5_seed-1/report.html">' in page
    assert page.count("data:image/png") == 1
    assert "http" not in page.split("data:image")[0]
    assert (tmp_path / "out" / "value.png").is_file()


def test_every_cell_is_a_run_folder(sweep, tmp_path):
    assert sweep() == 0
    folders = sorted((tmp_path / "out" / "cells").iterdir())
    assert len(folders) == 6
    for folder in folders:
        assert {"config.yaml", "metrics.json", "report.html"} <= {p.name for p in folder.iterdir()}


def test_finished_cells_are_not_run_again(sweep, capsys):
    assert sweep() == 0
    CALLS.clear()
    assert sweep(axes=SWEEP["axes"] | {"slope": {"key": "slope", "values": [2, 3]}}) == 0
    assert {call[1] for call in CALLS} == {3.0}
    assert "6 cells, 3 finished before, 3 to run" in capsys.readouterr().out


def test_a_changed_cell_is_refused_or_replaced(sweep, tmp_path, capsys):
    assert sweep() == 0
    capsys.readouterr()
    assert sweep("--set", "broken=true") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "slope-0.5_seed-1: holds another configuration (broken changed); --overwrite" in line
    CALLS.clear()
    assert sweep("--set", "broken=true", "--overwrite") == 0
    assert len(CALLS) == 12
    CALLS.clear()
    assert sweep("--set", "broken=true", "--overwrite") == 0
    assert CALLS == []


def test_a_failed_cell_stops_no_other_and_is_told(sweep, tmp_path, capsys):
    BROKEN[0.5, 2] = RuntimeError("the line\nbroke")
    assert sweep() == 1
    out, err = capsys.readouterr()
    assert "slope-0.5_seed-2: failed: RuntimeError: the line broke" in err
    assert "5 of 6 cells are finished; --retry" in out
    row = read(tmp_path / "out" / "table.csv")[1]
    assert (row["status"], row["value"]) == ("failed", "")
    assert row["error"] == "RuntimeError: the line broke"
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'href="cells/slope-0.5_seed-2.failed/error.txt">RuntimeError: the line broke' in page
    assert "2 of 3" in page
    text = (tmp_path / "out/cells/slope-0.5_seed-2.failed/error.txt").read_text()
    assert "Traceback" in text


def test_a_failed_cell_is_run_again_only_if_asked_and_from_its_stages(sweep, tmp_path):
    BROKEN[0.5, 2] = ValueError("no")
    assert sweep() == 1
    CALLS.clear()
    BROKEN.clear()
    assert sweep() == 1
    assert CALLS == []
    assert sweep("--retry") == 0
    assert CALLS == [("second", 0.5, 2)]
    assert not list((tmp_path / "out" / "cells").glob("*.*.failed"))
    assert {row["status"] for row in read(tmp_path / "out" / "table.csv")} == {"finished"}


def test_an_interrupted_sweep_writes_its_tables_and_goes_on(sweep, tmp_path):
    BROKEN[0.5, 4] = KeyboardInterrupt()
    assert sweep() == 130
    rows = read(tmp_path / "out" / "table.csv")
    assert [row["status"] for row in rows] == ["finished"] * 2 + ["not run"] * 4
    assert (tmp_path / "out" / "report.html").is_file()
    CALLS.clear()
    BROKEN.clear()
    assert sweep() == 0
    assert CALLS[0] == ("second", 0.5, 4)
    assert len(CALLS) == 7


def test_a_dry_run_lists_the_cells_and_writes_nothing(sweep, tmp_path, capsys):
    assert sweep("--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "slope-0.5_seed-1  not run"
    assert lines[-1] == "6 cells, 6 to run"
    assert CALLS == []
    assert not (tmp_path / "out").exists()


def test_two_sweeps_in_one_folder_are_refused(sweep, tmp_path, capsys):
    assert sweep() == 0
    before = (tmp_path / "out" / "sweep.yaml").read_text()
    capsys.readouterr()
    with SweepFolder(tmp_path / "out").reserved():
        assert sweep(title="Others") == 2
    assert "another sweep runs in this folder" in capsys.readouterr().err
    assert (tmp_path / "out" / "sweep.yaml").read_text() == before
    assert sweep(title="Others") == 0


def test_a_sweep_that_was_killed_before_it_wrote_anything_goes_on(sweep, tmp_path):
    cells = tmp_path / "out" / "cells"
    (cells / "slope-2_seed-1.partial").mkdir(parents=True)
    (tmp_path / "out" / "logs").mkdir()
    assert sweep() == 0
    assert len(list(cells.iterdir())) == 6


def test_a_damaged_configuration_of_a_cell_is_told(sweep, tmp_path, capsys):
    place = tmp_path / "out" / "cells" / "slope-2_seed-1.partial"
    place.mkdir(parents=True)
    (place / "config.yaml").write_text("a: [")
    assert sweep() == 2
    assert f"{place}/config.yaml: not readable" in capsys.readouterr().err


def test_report_draws_a_sweep_again(sweep, tmp_path, capsys):
    assert sweep() == 0
    names = ("table.csv", "summary.csv", "report.html", "value.png")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names}
    for name in names:
        (tmp_path / "out" / name).unlink()
    assert main(["report", str(tmp_path / "out")]) == 0
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names} == before
    assert f"report: {tmp_path / 'out' / 'report.html'}" in capsys.readouterr().out


def test_a_metric_that_no_cell_has_is_told(sweep, tmp_path, caplog):
    assert sweep(metrics=["value", "valve"]) == 0
    assert "no cell has valve; there are value, seconds" in caplog.text
    assert [row["valve"] for row in read(tmp_path / "out" / "table.csv")] == [""] * 6


def test_names_and_errors_are_escaped(sweep, tmp_path):
    BROKEN[0.5, 1] = RuntimeError('<b>"no", said it</b>')
    slopes = [{"name": "<i>a, b</i>", "set": {"slope": 0.5}}]
    assert sweep(axes=SWEEP["axes"] | {"slope": slopes}, title="<u>") == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert not any(tag in page for tag in ("<i>", "<b>", "<u>"))
    assert "&lt;i&gt;a, b&lt;/i&gt;" in page
    row = read(tmp_path / "out" / "table.csv")[0]
    assert (row["slope"], row["error"]) == ("<i>a, b</i>", 'RuntimeError: <b>"no", said it</b>')


@pytest.mark.parametrize(
    ("value", "text"),
    [(1 / 3, "0.3333"), (123456, "123456"), (123456.7, "123457"), (1e9 / 3, "3.333e+08"),
     (float("nan"), "nan"), (None, "")],
)  # fmt: skip
def test_numbers_are_short(value, text):
    assert report._number(value) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [([12000.0, 12300.0], ("12150", "212")), ([1.234, 1.244], ("1.2390", "0.0071")),
     ([2.0, 2.0], ("2", "0")), ([5.0], ("5", "")), ([float("nan"), 1.0], ("nan", "nan")),
     ([1e9, 2e9], ("1.5e+09", "7.1e+08"))],
)  # fmt: skip
def test_the_spread_sets_the_digits(values, text):
    assert report._mean(Spread.of(values)) == text


def test_a_folder_of_something_else_is_left_alone(sweep, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert sweep() == 2
    assert "is not empty and holds no earlier sweep" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_infinite_metrics_have_a_mean_without_a_warning():
    spread = Spread.of([float("inf"), 1.0])
    assert spread.mean == float("inf")
    assert np.isnan(spread.std)


def test_axis_lists_and_mappings_mean_the_same():
    settings = [{"name": "one", "set": {"seed": 1}}]
    values = {"base": {"kind": "line"}, "axes": {"seed": settings}}
    other = {"base": {"kind": "line"}, "axes": {"seed": {"settings": settings}}}
    assert Sweep(**values) == Sweep(**other)
