"""The train command, and what it refuses in one line."""

import json
import math

import numpy as np
import prior_training_choices as small
import pytest

from invdiff.study import train_command
from invdiff.study.cli import main
from invdiff.study.load import load_study
from invdiff.study.prior_training import fitting
from invdiff.training import Processes


@pytest.fixture
def refused(tmp_path, write, capsys):
    """Train with a configuration that is refused; give the line that says why."""

    def refused(*words, path=None, **changes):
        values = small.choices(path or small.archive(tmp_path), **changes)
        capsys.readouterr()
        out = tmp_path / "refused"
        assert main(["train", write(values), "--out", str(out), *words]) == 2
        lines = capsys.readouterr().err.splitlines()
        said = [line for line in lines if "invdiff: error: " in line]
        assert len(said) == 1
        assert lines[-1] == said[0]
        assert said[0].startswith("invdiff: error: ")
        assert not out.exists()
        return said[0].removeprefix("invdiff: error: ")

    return refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slices": {"path": "nowhere"}}, "slices: nowhere: no such file or folder"),
        ({"network": {"channels": [16] * 6}}, "slices: expected squares whose side is a multiple"),
        ({"network": {"channels": [16, 24]}}, "channels: expected multiples of groups, 16"),
        ({"optimisation": {"batch_size": 6}}, "num_parts: 4 don't divide a batch of 6"),
        ({"optimisation": {"num_passes": 3}}, "num_passes: 3 don't divide 4 parts"),
        ({"optimisation": {"dtype": "float16"}}, "optimisation.dtype"),
        ({"optimisation": {"num_steps": 0}}, "optimisation.num_steps"),
        ({"optimisation": {"compile": True}}, "optimisation.compile: is for GPUs"),
        ({"objective": {"kind": "gan"}}, "objective.kind"),
        ({"objective": {"kind": "pfgm", "dof": 0.5}}, "dof: expected at least 1, got 0.5"),
        ({"objective": {"kind": "flow", "log_std": 1.0}}, "log_mean and log_std are of edm"),
        ({"augmentation": {"flip": 2.0}}, "augmentation.flip"),
        ({"averages": {"lengths": [0.3]}}, "lengths: expected different ones below .28"),
        ({"split": {"heldout": ["e", "nobody"]}}, "split: no slices of nobody; there are a, b"),
        ({"split": {"heldout": list("abcdef")}}, "no subject is left to learn from"),
        ({"slices": {"labels": "array"}}, "no class, since it has no array label"),
        ({"slices": {"complex": True}}, "complex: true needs complex slices, got uint8"),
        ({"trial": {"experiment": "nothing"}}, "trial: "),
        ({"trial": {"experiment": "inpainting", "set": {"operator.kind": "x"}}}, "trial: "),
        ({"trial": {"experiment": "inpainting", "set": {"input.grid": "{kind: fill, size: 8}"}}},
         "trial: input.grid.size: got 8, the prior the-trained-prior has images of 16 x 16"),
        ({"label_dropout": 1.5}, "label_dropout"),
        ({"sigmas": []}, "sigmas"),
        ({"colour": "red"}, "colour"),
        ({"device": "nowhere"}, "device"),
    ],
)  # fmt: skip
def test_refuses_what_does_not_fit(refused, changes, message):
    assert message in refused(**changes)


def test_refuses_files_without_slices(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "letter.txt").write_text("no image")
    assert "no slices in it" in refused(path=tmp_path / "empty")
    np.savez(tmp_path / "one.npz", x=small.discs(1))
    path = tmp_path / "one.npz"
    assert refused(path=path, split={"heldout": []}) == "slices: expected two or more, got 1"


def test_a_trial_in_real_numbers_is_none_for_complex_slices(refused, tmp_path):
    path = small.archive(tmp_path, x=(small.discs() / 255).astype(np.complex64))
    line = refused(path=path, slices={"complex": True}, trial={"experiment": "inpainting"})
    assert "trial: prior.name: a prior of complex images (two channels) is for" in line


def test_a_loss_that_diverges_ends_the_training_at_the_next_checkpoint(refused, monkeypatch):
    steps = []
    monkeypatch.setattr(fitting.LiveReport, "__call__", lambda _, step: steps.append(step.loss))
    options = {"num_steps": 1000, "learning_rate": 1e30, "checkpoint_every": 5}
    assert "the loss is not finite, try a lower learning_rate" in refused(optimisation=options)
    assert len(steps) == 5
    assert not math.isfinite(steps[-1])


def test_other_studies_are_for_other_commands(tmp_path, capsys):
    words = ["--out", str(tmp_path / "out")]
    assert main(["train", "ct_sparse_view", *words]) == 2
    assert "is no training but a reconstruction: invdiff run" in capsys.readouterr().err
    assert main(["train", "gmm_posterior", *words]) == 2
    assert "is no training but" in capsys.readouterr().err
    assert main(["train", "nothing", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


class Followed(Processes):
    """The second of two processes, told what to do by a list."""

    def __init__(self, messages):
        super().__init__()
        self.rank, self.messages = 1, list(messages)

    def told(self, message):
        # the step that it starts from is the other's, too
        return message if message.isdecimal() else self.messages.pop(0)


@pytest.fixture
def follow(tmp_path, write, monkeypatch):
    def follow(*messages, **changes):
        monkeypatch.setattr(Processes, "launched", lambda device: Followed(messages))
        values = small.choices(small.archive(tmp_path), **changes)
        return main(["train", write(values), "--out", str(tmp_path / "out")])

    return follow


def test_another_process_writes_nothing(follow, tmp_path):
    assert follow("train", "end") == 0
    assert not list(tmp_path.glob("out*"))


def test_another_process_leaves_a_refusal_to_the_first(follow, capsys):
    diverging = {"optimisation": {"learning_rate": 1e30}}
    assert follow("train", "refused", **diverging) == 0
    assert follow("refused", slices={"path": "nowhere"}) == 0
    assert capsys.readouterr().err == ""


def test_another_process_says_what_is_wrong_with_it_alone(follow, capsys):
    assert follow("train", "end", slices={"path": "nowhere"}) == 2
    assert "slices: nowhere: no such file or folder" in capsys.readouterr().err


def test_the_shipped_training_says_what_it_is(tmp_path, capsys):
    from invdiff.study.load import load_study

    for name in ("train_tiny_ct", "train_ct_256", "train_brain_mr_256"):
        study = load_study(name)
        study.check_inputs()
        assert study.fallback is not None
        assert json.loads(study.model_dump_json())["kind"] == "prior-training"


def test_slices_of_ones_own_are_not_under_the_licence_of_the_recipe(monkeypatch, tmp_path):
    studies = []
    monkeypatch.setattr(train_command, "run_and_print", lambda study, *_: studies.append(study))
    for words in ((), ("prior.licence=mine",)):
        main(
            [
                "train",
                "train_tiny_ct",
                "--out",
                str(tmp_path / "p"),
                "--set",
                "slices.path=x",
                *words,
            ]
        )
    main(["train", "train_tiny_ct", "--out", str(tmp_path / "p")])
    assert [study.prior.licence[:10] for study in studies] == ["not stated", "mine", "weights Ap"]


def test_values_of_a_trial_are_set_by_their_path():
    study = load_study("train_tiny_ct", ["trial.set.operator.views=5"])
    assert study.trial.set == {"operator.views": 5}
