"""The study of samplers on a Gaussian posterior, at a size that takes a second."""

import json
import math
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch

from invdiff.study.cli import main
from invdiff.study.laboratory import deepinv_peers
from invdiff.study.laboratory.gaussian_calibration import GaussianCalibration
from invdiff.study.laboratory.gaussian_problem import GaussianProblem
from invdiff.study.load import load_study
from invdiff.study.stages import Stages

TINY = [
    "size=6",
    "num_samples=40",
    "samplers=[{kind: dds, num_steps: 4}, {kind: diffpir, num_steps: 5}, {kind: dds}]",
]
LABELS = {"exact", "dds", "diffpir", "dds 2"}


@pytest.fixture
def alone(monkeypatch):
    """Deepinv is not installed, whatever is."""
    monkeypatch.setitem(sys.modules, "deepinv", None)


@pytest.mark.usefixtures("alone")
def test_a_tiny_study_from_the_command_line(tmp_path) -> None:
    out = tmp_path / "out"
    words = ["run", "gaussian_calibration", "--out", str(out), "--set", *TINY]
    assert main(words) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["mean_err_floor"] == pytest.approx(40**-0.5)
    keys = {label.replace(" ", "_") for label in LABELS}
    for what in ("std_ratio", "mean_err", "seconds", "mean_err_floor"):
        found = {k.removeprefix(f"{what}_") for k in metrics if k.startswith(f"{what}_")}
        assert keys <= found
    for key in keys:
        either = [metrics[f"std_ratio_{key}_{region}"] for region in ("observed", "unobserved")]
        assert metrics[f"std_ratio_{key}"] == max(either, key=lambda r: abs(math.log(r)))
        either = [metrics[f"mean_err_{key}_{region}"] for region in ("observed", "unobserved")]
        assert metrics[f"mean_err_{key}"] == max(either)
    page = (out / "report.html").read_text()
    assert "deepinv was not installed" in page
    assert all(f"<td>{label}</td>" in page for label in LABELS)
    assert main([*words, "--resume"]) == 0


@pytest.mark.usefixtures("alone")
def test_exact_samples_pass_and_narrow_ones_are_named(tmp_path) -> None:
    study = load_study("gaussian_calibration", ["samplers=[{kind: red-diff, num_steps: 20}]"])
    assert isinstance(study, GaussianCalibration)
    outcome = study.compute(Stages(tmp_path))
    metrics = outcome.metrics
    # 128 chains and at least 100 pixels in a region: 5 standard errors
    assert metrics["std_ratio_exact"] == pytest.approx(1, abs=5 / (2 * 127 * 100) ** 0.5)
    assert metrics["mean_err_exact"] == pytest.approx(128**-0.5, rel=5 / 200**0.5)
    normal = torch.special.ndtri(torch.from_numpy(outcome.arrays["probabilities"])).numpy()
    for region in ("observed", "unobserved"):
        # the tails of 12800 pooled draws
        found = outcome.arrays[f"quantiles_exact_{region}"]
        np.testing.assert_allclose(found, normal, atol=0.2)
    assert metrics["std_ratio_red_diff"] < 0.6
    assert "0 of 1 samplers" in study.summary(metrics)
    assert "(red-diff)" in study.summary(metrics)


def test_posterior_is_the_scalar_formula() -> None:
    problem = GaussianProblem(0.5, 0.2, 5, 0.4, 0.1, seed=3, device="cpu")
    gain = 0.2**2 / (0.2**2 + 0.1**2)
    y = torch.full_like(problem.truth, 0.5)
    y[problem.mask] = problem.likelihood.y
    torch.testing.assert_close(problem.mean, 0.5 + gain * (y - 0.5))
    sd = torch.where(problem.mask, (1 - gain) ** 0.5 * 0.2, 0.2).double()
    torch.testing.assert_close(problem.std, sd)
    for keep in (1e-9, 1 - 1e-9):
        mask = GaussianProblem(0.5, 0.2, 5, keep, 0.1, seed=3, device="cpu").mask
        assert min(int(mask.sum()), int((~mask).sum())) == 1


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("samplers=[{kind: dsd}]", "samplers"),
        ("samplers=[]", "samplers"),
        ("samplers=[{kind: dds, num_steps: 0}]", "samplers"),
        ("deepinv=[{method: dsp}]", "deepinv"),
        ("keep=1.5", "keep"),
    ],
)
def test_refusals(setting, complaint) -> None:
    with pytest.raises(ValueError, match=complaint):
        load_study("gaussian_calibration", [setting])


class _FakePackage:
    """As much of deepinv's interface as a column of DDRM takes."""

    class models:
        Denoiser = torch.nn.Module

    class physics:
        @staticmethod
        def GaussianNoise(sigma):
            return sigma

        @staticmethod
        def Inpainting(**settings):
            return settings

    class sampling:
        seen: ClassVar[dict] = {}

        @classmethod
        def DDRM(cls, model, sigmas):
            def run(y, physics, seed):
                cls.seen.update(physics, y=y.clone(), sigmas=sigmas, seed=seed)
                torch.default_generator.manual_seed(seed)
                x = model(y, 0.3)
                y.zero_()
                return x + 0.01 * torch.randn_like(x)

            return run


def test_peer_gets_the_same_problem_and_leaves_no_trace(monkeypatch) -> None:
    monkeypatch.setattr(deepinv_peers, "imported", lambda _: _FakePackage)
    problem = GaussianProblem(0.5, 0.2, 5, 0.4, 0.1, seed=3, device="cpu")
    column = deepinv_peers.DeepinvColumn(method="ddrm", num_steps=7)
    state, y = torch.random.get_rng_state(), problem.likelihood.y.clone()
    first = problem.peer_samples(column, 4, "deepinv ddrm")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(problem.likelihood.y, y)
    seen = _FakePackage.sampling.seen
    assert seen["y"].shape == (4, 1, 5, 5)
    torch.testing.assert_close(seen["y"][2, 0][problem.mask], y.float())
    assert not seen["y"][:, 0, ~problem.mask].any()
    assert torch.equal(seen["mask"][0].bool(), problem.mask)
    assert seen["noise_model"] == 0.1
    assert len(seen["sigmas"]) == 7
    again = problem.peer_samples(column, 4, "deepinv ddrm")
    np.testing.assert_array_equal(first["values"], again["values"])


def test_columns_of_the_installed_package() -> None:
    if not deepinv_peers.is_installed():
        pytest.skip("deepinv is not installed")
    problem = GaussianProblem(0.5, 0.2, 6, 0.5, 0.1, seed=0, device="cpu")
    for method in deepinv_peers._METHODS:
        column = deepinv_peers.DeepinvColumn(method=method, num_steps=20)
        values = problem.peer_samples(column, 8, method)["values"]
        assert values.shape == (8, 6, 6)
        assert np.isfinite(values).all()
