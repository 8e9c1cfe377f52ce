"""The study of CT uncertainty, with an untrained network and on slices made up."""

import json

import numpy as np
import pytest
import torch

from invdiff.data import sample_path
from invdiff.study.cli import main
from invdiff.study.config import InputConfig
from invdiff.study.laboratory import ct_uncertainty_scores as scores
from invdiff.study.laboratory.ct_uncertainty import CTUncertainty
from invdiff.study.laboratory.ct_uncertainty_scores import Slice, evaluate
from invdiff.study.load import load_study
from invdiff.study.stages import Stages

QUICK = [
    "size=32",
    "operator.views=6",
    "sampler.num_steps=2",
    "num_samples=5",
    "num_calibration_samples=3",
    "slices=[1,2]",
]


def _made_up(generator, *, spread, num_samples=40):
    """A body whose truth deviates by 20 HU, beside samples that deviate by ``spread``."""
    shape = (48, 48)
    inside = torch.zeros(shape, dtype=torch.bool)
    inside[4:44, 4:44] = True
    base = torch.where(inside, 40.0, -1000.0)
    truth = base + 20 * torch.randn(shape, generator=generator)
    samples = base + spread * torch.randn(num_samples, *shape, generator=generator)
    stored = {
        "samples": samples.numpy(),
        "log_weights": np.full(num_samples, -np.log(num_samples)),
        "truth": truth.numpy(),
        "fbp": base.numpy(),
        "pixel_mm": np.ones(2),
        "data_range": np.asarray(2500.0),
    }
    return Slice.of(stored, 19)


@pytest.mark.parametrize("apart", [False, True])
def test_the_calibration_makes_the_stated_level_true(apart, generator):
    slices = [_made_up(generator, spread=8) for _ in range(4)]
    judged, others = (slices[:2], slices[2:]) if apart else (slices, None)
    outcome = evaluate(judged, others, shown=1, level=0.9, floor=1.0, data_range=2500.0)
    metrics = outcome.metrics
    # 1600 independent pixels of each judged slice, and as many to calibrate on
    error = 4.5 * 0.3 * np.sqrt(2 / (1600 * len(judged)))
    assert metrics["coverage_90_raw"] < 0.6
    assert metrics["coverage_90"] == pytest.approx(0.9, abs=error)
    assert metrics["coverage_curve_calibrated"][4] == pytest.approx(0.5, abs=5 / 3 * error)
    # 1.645 times the deviation of the truth on either side, a little more as the mean errs
    assert metrics["interval_width_HU"] == pytest.approx(2 * 1.645 * 20, rel=0.1)
    assert outcome.arrays["std_calibrated"][20, 20] == pytest.approx(20, rel=0.4)
    assert metrics["z_std"] == pytest.approx(20 / 8, rel=0.1)


def test_no_slice_is_calibrated_on_itself(generator, monkeypatch):
    slices = [_made_up(generator, spread=20) for _ in range(3)]
    seen = []
    original = Slice.calibrated

    def spied(self, others, *args, **options):
        seen.append((self, others))
        return original(self, others, *args, **options)

    monkeypatch.setattr(Slice, "calibrated", spied)
    evaluate(slices, None, shown=0, level=0.9, floor=1.0, data_range=2500.0)
    assert {id(judged) for judged, _ in seen} == {id(s) for s in slices}
    assert all(judged is not other for judged, others in seen for other in others)


def test_the_body_has_no_holes_and_no_table():
    fbp = torch.full((24, 20), -1000.0)
    fbp[4:16, 4:16] = 40
    fbp[8:12, 8:12] = -1000  # air within
    fbp[22:, 8:12] = 40  # the table
    stored = {"samples": np.zeros((3, 24, 20)), "log_weights": np.zeros(3)}
    slice_ = Slice.of(stored | {"truth": fbp.numpy(), "fbp": fbp.numpy()}, 2)
    assert slice_.body[5:15, 5:15].all()
    assert not slice_.body[:3].any()
    assert not slice_.body[21:].any()
    assert slice_.samples.values.shape[0] == 2


def test_run_from_the_shipped_configuration(prior_folder, tmp_path):
    out = tmp_path / "out"
    words = [f"prior.name={prior_folder}", *QUICK]
    assert main(["run", "ct_uncertainty", "--out", str(out), "--set", *words]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["network_calls"] == 2 * (5 + 3)
    assert len(metrics["coverage_curve_raw"]) == len(scores.LEVELS)
    for key in ("coverage_90", "coverage_90_raw", "spearman", "crps", "psnr_mean", "seconds"):
        assert np.isfinite(metrics[key])
    figures = ("reconstruction", "uncertainty", "z_scores", "coverage")
    assert all((out / f"{name}.png").is_file() for name in figures)


def test_slices_have_their_own_noise_and_samples_depend_on_their_slice_only(prior_folder, tmp_path):
    study = load_study("ct_uncertainty", [f"prior.name={prior_folder}", *QUICK])
    other = InputConfig(sample="sts-044", slice=4)
    more = study.model_copy(update={"slices": (0, 1, 2), "num_samples": 4, "calibration": (other,)})
    calls = {
        name: each.compute(Stages(tmp_path / name)).metrics["network_calls"]
        for name, each in (("two", study), ("three", more))
    }
    assert calls == {"two": 2 * (5 + 3), "three": 2 * (4 + 3 * 3)}
    for k in (1, 2):
        first, second = (np.load(tmp_path / n / f"slice_{k}.npz") for n in ("two", "three"))
        np.testing.assert_array_equal(first["fbp"], second["fbp"])
        np.testing.assert_array_equal(first["samples"][:3], second["samples"][:3])
    seeds = [study._experiment(f"slice_{k}", study.input).seed for k in (1, 2)]
    assert seeds[0] != seeds[1]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"operator": {"kind": "mri-cartesian"}}, "expected a CT scan"),
        ({"shown": 7}, "the shown one"),
        ({"slices": [2]}, "2 or more"),
        ({"num_samples": 4}, "num_calibration_samples"),
        ({"level": 1.0}, "less than 1"),
    ],
)
def test_refuses(values, reason):
    with pytest.raises(ValueError, match=reason):
        CTUncertainty(**values)


def test_a_bad_scan_is_refused_before_any_is_sampled(tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "cut.dcm"
    path.write_bytes(next(sample_path("sts-044").glob("*.dcm")).read_bytes()[:3000])
    monkeypatch.setattr(CTUncertainty, "_sampled", None)
    words = ["run", "ct_uncertainty", "--out", str(tmp_path / "out")]
    assert main([*words, "--set", f"calibration=[{{path: {path}}}]"]) == 2
    error = capsys.readouterr().err
    assert "cut.dcm" in error
    assert error.count("\n") == 1
