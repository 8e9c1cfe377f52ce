"""A training that was killed goes on, alone or with others, and ends as if it had not been."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import prior_training_choices as small
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

from invdiff.study.cli import main
from invdiff.study.prior_training import fitting
from invdiff.study.prior_training import study as training

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
LAUNCH = [
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
]
WEIGHTS = Path("prior", "unet", "diffusion_pytorch_model.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A configuration of 24 steps, trained to the end in ``whole``."""
    folder = tmp_path_factory.mktemp("resumed")
    options = {"num_steps": 24, "checkpoint_every": 4}
    values = small.choices(small.archive(folder), optimisation=options)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(values))
    assert main(words(folder, "whole")) == 0
    return folder


@pytest.fixture(scope="module")
def killed(folder):
    """What is left of that training, in a process that was killed in the middle."""
    command = [sys.executable, "-m", "invdiff", *words(folder, "killed")]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    left = folder / "killed.partial"
    # late enough for the averages of the weights to remember it
    while num_kept(left / "stages" / "training.safetensors") < 16:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not (left / "stages" / "training.npz").exists()
    return left


def num_kept(checkpoint):
    if not checkpoint.exists():
        return 0
    with safe_open(checkpoint, framework="pt") as file:
        return file.get_slice("losses").get_shape()[0]


def words(folder, name):
    return ["train", str(folder / "tiny.yaml"), "--out", str(folder / name)]


def metrics_of(out):
    metrics = json.loads((out / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if "seconds" not in name}


def test_a_killed_training_ends_with_the_same_bits(folder, killed):
    shutil.copytree(killed, folder / "again.partial")
    assert main([*words(folder, "again"), "--resume"]) == 0
    assert metrics_of(folder / "again") == metrics_of(folder / "whole")
    found, expected = (load_file(folder / name / WEIGHTS) for name in ("again", "whole"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_two_processes_go_on_with_the_training_of_one(folder, killed):
    shutil.copytree(killed, folder / "together.partial")
    command = [sys.executable, *LAUNCH, "-m", "invdiff", *words(folder, "together"), "--resume"]
    ran = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=True
    )
    # the first process alone has something to say
    assert ran.stdout.count("report: ") == 1
    assert metrics_of(folder / "together") == pytest.approx(metrics_of(folder / "whole"), rel=1e-4)


def test_a_refusal_ends_all_processes(folder):
    command = [sys.executable, *LAUNCH, "-m", "invdiff", *words(folder, "whole")]
    ran = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode != 0
    said = [line for line in ran.stderr.splitlines() if "invdiff: error" in line]
    assert len(said) == 1
    assert "exists and is not empty; --overwrite replaces it" in said[0]
    assert "Connection closed" not in ran.stderr


def test_interrupted_while_judging_it_is_not_trained_again(folder, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "judged", interrupted)
        assert main(words(folder, "judged")) == 130
    assert "--resume goes on with them" in capsys.readouterr().err
    assert main(words(folder, "judged")) == 2
    assert "an interrupted run; --resume goes on with it" in capsys.readouterr().err
    changed = ["--set", "optimisation.batch_size=12", "--resume"]
    assert main([*words(folder, "judged"), *changed]) == 2
    line = capsys.readouterr().err
    assert "--resume needs the same configuration, optimisation changed" in line
    monkeypatch.setattr(fitting, "train_prior", interrupted)
    assert main([*words(folder, "judged"), "--resume"]) == 0
    assert metrics_of(folder / "judged") == metrics_of(folder / "whole")


def test_a_checkpoint_of_other_choices_is_refused(folder, killed, capsys):
    left = folder / "other.partial"
    shutil.copytree(killed, left)
    values = yaml.safe_load((left / "config.yaml").read_text())
    values["seed"] = 1
    (left / "config.yaml").write_text(yaml.safe_dump(values))
    assert main([*words(folder, "other"), "--set", "seed=1", "--resume"]) == 2
    assert "training.safetensors: of another training: study was" in capsys.readouterr().err
