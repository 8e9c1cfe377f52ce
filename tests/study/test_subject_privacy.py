"""What a training says of whose slices it learnt from, and that it takes no others unasked."""

import json

import pytest
import torch

from invdiff.study.cli import main
from invdiff.study.load import load_study
from invdiff.training.slice_set import SliceSet

SLICES = SliceSet(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), ("anna", "bert", "carl", "bert"))
NAMES = ("split.heldout=[bert]", "split.training=[anna, carl]", "slices.path=scans of anna")


@pytest.mark.parametrize("named", [True, False])
def test_a_card_names_nobody_unless_it_is_told_to(named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans of anna").mkdir()
    words = (*NAMES, f"split.subject_names={json.dumps(named)}")
    study = load_study("train_tiny_ct", words)
    info = study._info(study.split.split(SLICES), {})
    assert info["split"]["heldout"]["num_slices"] == 2
    assert info["training"]["split"] == {"fraction": 0.12, "gap": 16, "subject_names": named}
    for name in ("anna", "bert", "carl"):
        assert (name in json.dumps(info)) == named


def test_no_sample_takes_the_place_of_a_path_that_was_asked_for(tmp_path, capsys):
    words = ["--out", str(tmp_path / "out"), "--set", "slices.path=nowhere"]
    assert main(["train", "train_tiny_ct", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("slices: nowhere: no such file or folder")
