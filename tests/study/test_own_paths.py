"""A path that is set must be there: no shipped sample takes its place."""

from __future__ import annotations

import pytest

from invdiff.study.cli import main
from invdiff.study.load import load_study

ABSENT = [
    ("volume_ct_sparse", "scans=[{path: absent}]", "scans.path"),
    ("slice_interpolation", "scan.path=absent", "scan.path"),
    ("few_step_ct", "slices.path=absent", "slices.path"),
    ("few_step_ct", "scans=[{path: absent}]", "scans.path"),
    ("train_tiny_ct", "slices={path: absent, size: 64}", "slices.path"),
    ("classical_refinement", "tasks.ct.slices.path=absent", "tasks.ct.slices.path"),
    ("sr_boundary", "tasks.mr.references=[{path: absent}]", "tasks.mr.references.path"),
    ("train_router", "experts.mr.slices.path=absent", "experts.mr.slices.path"),
    (
        "classical_refinement",
        "tasks={ct: {slices: {path: absent}, fallback: sts-044}}",
        "tasks.ct.slices.path",
    ),
]


@pytest.mark.parametrize(("study", "override", "key"), ABSENT)
def test_absent_path_that_is_set_is_refused(study, override, key) -> None:
    with pytest.raises(ValueError, match=rf"^{key}: absent: no such file or folder$"):
        load_study(study, [override])


def test_refusal_is_one_line_before_any_work(capsys, tmp_path) -> None:
    words = ["run", "volume_ct_sparse", "--out", str(tmp_path / "out")]
    assert main([*words, "--set", "scans=[{path: absent}]"]) == 2
    line = "invdiff: error: scans.path: absent: no such file or folder\n"
    assert capsys.readouterr().err == line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("override", ["size=64", "slices=3", "fallback=sts-044"])
def test_shipped_paths_keep_their_fallback(override) -> None:
    assert load_study("volume_ct_sparse", [override]).fallback == "sts-044"


def test_path_that_is_there_is_taken(tmp_path) -> None:
    study = load_study("volume_ct_sparse", [f"scans=[{{path: {tmp_path}}}]"])
    assert [scan.path for scan in study.scans] == [str(tmp_path)]


def test_without_a_fallback_the_study_itself_refuses() -> None:
    study = load_study("volume_ct_sparse", ["scans=[{path: absent}]", "fallback=null"])
    assert study.fallback is None
