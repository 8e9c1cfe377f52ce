"""The training of a router as a study: its folder, its report, refusals, and going on."""

import json

import numpy as np
import pytest
import torch

from invdiff.study.cli import main
from invdiff.study.router_training import fitting
from invdiff.study.router_training.fitting import fitted_router, restored_router
from invdiff.study.router_training.options import RouterOptions
from invdiff.study.router_training.tables import reach
from invdiff.training import load_routed_prior

SUBJECTS = np.repeat([f"p{i}" for i in range(6)], 4)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Bright and dark slices of 6 subjects each."""
    folder, rng = tmp_path_factory.mktemp("slices"), np.random.default_rng(0)
    for name, grey in (("bright", 200), ("dark", 50)):
        x = np.clip(rng.normal(grey, 10, (24, 64, 64)), 0, 255).astype(np.uint8)
        np.savez(folder / f"{name}.npz", x=x, subject=SUBJECTS)
    return folder


@pytest.fixture
def values(archives, prior_folder):
    return {
        "kind": "router-training",
        "title": "bright or dark",
        "experts": {
            name: {
                "prior": {"name": str(prior_folder)},
                "slices": {"path": str(archives / f"{name}.npz"), "size": 32},
                "split": {"fraction": 0.3},
            }
            for name in ("bright", "dark")
        },
        "router": {
            "num_steps": 120,
            "learning_rate": 0.01,
            "batch_size": 8,
            "width": 8,
            "depth": 2,
            "sigma_max": 3.0,
        },
        "sigmas": [0.1, 1.0],
        "num_heldout": 5,
        "licence": "none",
    }


def test_train_writes_a_routed_prior_that_tells_them_apart(values, write, tmp_path, undrawn):
    out = tmp_path / "out"
    assert main(["train", write(values), "--out", str(out)]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["by_subject"]
    assert metrics["num_training_bright"] == 16
    assert metrics["num_heldout_dark"] == 5
    assert metrics["accuracy"][0] > 0.95
    assert metrics["cross_entropy"][0] < np.log(2)
    prior = load_routed_prior(out / "prior")
    assert prior.image_shape == (32, 32)
    assert prior.info["licence"] == "none"
    assert prior.info["experts"] == ["bright", "dark"]
    weights = prior.router(torch.tensor([0.6, -0.6]).reshape(2, 1, 1).expand(2, 32, 32),
                           torch.tensor(0.1)).exp()  # fmt: skip
    assert weights.argmax(-1).tolist() == [0, 1]
    page = (out / "report.html").read_text()
    assert "people who are new to it" in page


def _fitted(folder, num_steps=6, seed=0):
    options = RouterOptions(num_steps=num_steps, batch_size=4, width=8, depth=2, checkpoint_every=2)
    clean = [torch.full((3, 16, 16), value) for value in (-0.5, 0.5)]
    return options, fitted_router(
        options, clean, seed=seed, device="cpu", folder=folder, title="quick"
    )


def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    options, whole = _fitted(tmp_path / "whole" / "stages")

    class Killed(fitting.LiveReport):
        def __call__(self, step):
            super().__call__(step)
            if step.step == 4:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fitting, "LiveReport", Killed)
        with pytest.raises(KeyboardInterrupt):
            _fitted(tmp_path / "killed" / "stages")
    _, resumed = _fitted(tmp_path / "killed" / "stages")
    assert resumed.keys() == whole.keys()
    assert all(np.array_equal(value, resumed[name]) for name, value in whole.items())
    router = restored_router(options, resumed, 2, 16, device="cpu")
    assert not any(p.requires_grad for p in router.parameters())
    with pytest.raises(ValueError, match=r"of another training: .*seed was 0, is 1"):
        _fitted(tmp_path / "killed" / "stages", seed=1)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("experts.bright.slices.path", "absent", "slices: absent: no such file or folder"),
        ("experts.bright.prior.name", "absent", "or a folder, got absent"),
        ("experts.bright.prior.label", 1, "experts.bright.prior.label: "),
        ("experts.bright.slices.size", 16, "expected slices of one size"),
        ("router.sigma_min", 5.0, "0 < lowest < highest"),
        ("router.depth", 6, "halvings need at least 64 rows"),
    ],
)
def test_refuses_in_one_line(values, refusal, path, value, reason):
    assert reason in refusal(values, "--set", f"{path}={value}")


def test_one_expert_needs_no_router(values, refusal):
    del values["experts"]["dark"]
    assert "expected 2 experts or more, got 1" in refusal(values)


def test_what_trains_nothing_is_told_where_to_run(config, write, tmp_path, capsys):
    assert main(["train", write(config), "--out", str(tmp_path / "out")]) == 2
    assert "is no training but a reconstruction: invdiff run" in capsys.readouterr().err


def test_the_words_follow_the_numbers():
    assert reach([1.0, 0.995, 0.7], (0.1, 1.0, 10.0)).endswith("at sigma = 0.1, 1")
    never = reach([0.75, 0.9, 0.5], (0.1, 1.0, 10.0))
    assert never == "the router is right in 50.0 % of the cases at worst, at sigma = 10"
