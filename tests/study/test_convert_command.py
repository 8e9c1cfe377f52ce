from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from invdiff.priors import load_prior
from invdiff.priors.architectures.adm import ADMSettings, ADMUNet
from invdiff.priors.architectures.adm_shapes import ADM_PRESETS
from invdiff.study.cli import main

SMALL = ADMSettings(
    32, in_channels=1, model_channels=32, num_res_blocks=1, channel_mult=(1, 1),
    attention_factors=(2,), num_head_channels=16, noise_schedule="cosine", num_classes=2,
)  # fmt: skip
WORDS = ("--architecture", "adm")


@pytest.fixture
def checkpoint(tmp_path):
    weights = ADMUNet(SMALL).state_dict()
    torch.save({"ema": weights, "model": {k: v + 1 for k, v in weights.items()}}, tmp_path / "n.pt")
    return tmp_path / "n.pt"


def convert(checkpoint, *words):
    return main(["convert", str(checkpoint), "--out", str(checkpoint.parent / "prior"), *words])


def test_a_checkpoint_becomes_a_prior_of_an_experiment(checkpoint, config, run, capsys, undrawn):
    info = checkpoint.parent / "info.yaml"
    info.write_text("title: tiny\nclasses: [T1, T2]\n")
    words = (*WORDS, "--info", str(info), "--set", "image_size=32", "num_head_channels=16",
             "noise_schedule=cosine")  # fmt: skip
    assert convert(checkpoint, *words) == 0
    folder = checkpoint.parent / "prior"
    assert capsys.readouterr().out.strip() == f"prior: {folder.resolve()}"
    assert load_prior(folder, label="T1").network.settings == SMALL
    config["prior"] = {"name": str(folder), "label": "T2"}
    _, metrics = run(config)
    assert metrics


def test_the_weights_of_the_last_step(checkpoint):
    words = ("--set", "image_size=32", "num_head_channels=16")
    assert convert(checkpoint, *WORDS, "--last", *words) == 0
    prior = load_prior(checkpoint.parent / "prior", label=0)
    weights = torch.load(checkpoint, weights_only=True)["model"]  # noqa: TID251
    assert torch.equal(prior.network.state_dict()["out.2.bias"], weights["out.2.bias"])


def test_a_preset_says_the_rest(checkpoint, monkeypatch):
    monkeypatch.setitem(ADM_PRESETS, "small", SMALL)
    assert convert(checkpoint, *WORDS, "--preset", "small") == 0
    assert load_prior(checkpoint.parent / "prior", label=0).network.settings == SMALL


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--architecture", "vgg"), "architecture: expected one of adm"),
        ((*WORDS, "--preset", "1x1"), "--preset: expected one of 64x64_diffusion, "),
        ((*WORDS, "--set", "image_size=[1"), "--set image_size: not valid YAML"),
        ((*WORDS, "--preset", "ffhq_10m"), "settings: in_channels is 1 in"),
        (WORDS, "settings: image_size: "),
    ],
)
def test_refuses_in_one_line(checkpoint, capsys, words, match):
    assert convert(checkpoint, *words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("invdiff: error: ")
    assert match in lines[0]
    assert not (checkpoint.parent / "prior").exists()


def test_refuses_files_that_say_nothing(checkpoint, capsys):
    (checkpoint.parent / "info.json").write_text(json.dumps([1]))
    words = (*WORDS, "--info", str(checkpoint.parent / "info.json"))
    assert convert(checkpoint, *words) == 2
    assert "--info: expected a mapping, got list" in capsys.readouterr().err
    save_file({"a": torch.ones(1)}, checkpoint.parent / "a.safetensors")
    assert convert(checkpoint.parent / "a.safetensors", *WORDS) == 2
    assert "not a network of this architecture (no 'input_blocks" in capsys.readouterr().err
