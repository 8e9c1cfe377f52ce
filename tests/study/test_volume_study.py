"""The study of volumes, with an untrained network on the slices that ship."""

import dataclasses
import json

import numpy as np
import pytest
import yaml

from invdiff.data import (
    fill,
    orient,
    read_dicom,
    read_nifti,
    sample_path,
    to_spacing,
    write_nifti,
)
from invdiff.study.cli import main
from invdiff.study.laboratory import volume_methods
from invdiff.study.laboratory.volume import VolumeStudy
from invdiff.study.laboratory.volume_scans import _prepared
from invdiff.study.laboratory.volume_views import View
from invdiff.study.stages import Stages
from invdiff.volumes import (
    DDS3D,
    FileCheckpoints,
    Independent,
    PerpendicularPrior,
    RedDiff3D,
    Together,
    TotalVariationZ,
)

METHODS = {
    "fbp": {"kind": "fbp"},
    "tv-2d": {"kind": "tv-2d", "num_steps": 3},
    "tv-3d": {"kind": "tv-3d", "num_steps": 3},
    "slice-wise": {"kind": "slice-wise", "sampler": {"kind": "red-diff", "num_steps": 3}},
    "red-diff-3d": {
        "kind": "red-diff-3d",
        "num_steps": 3,
        "coupling": [{"kind": "tv-z"}, {"kind": "perpendicular"}],
    },
    "diffpir-3d": {"kind": "diffpir-3d", "num_steps": 3, "coupling": {"kind": "quadratic-z"}},
    "dds-3d": {"kind": "dds-3d", "num_steps": 3},
    "mbir": {"kind": "diffusion-mbir", "num_steps": 3},
}
STACK = {"kind": "stack", "operator": {"kind": "ct-parallel", "views": 6}}
MRI = {"kind": "stack", "operator": {"kind": "mri-cartesian", "coils": 2}}


@pytest.fixture
def values(prior_folder):
    return {
        "kind": "volume",
        "title": "Tiny",
        "fallback": "sts-044",
        "size": 32,
        "tasks": {"views6": {"operator": STACK}},
        "prior": {"name": str(prior_folder)},
        "methods": METHODS,
        "checkpoint_every": 1,
    }


@pytest.fixture(scope="module")
def finished(prior_folder, tmp_path_factory):
    """The folder of a run of all methods."""
    folder = tmp_path_factory.mktemp("volumes")
    path = folder / "tiny.yaml"
    study = {
        "kind": "volume",
        "fallback": "sts-044",
        "size": 32,
        "tasks": {"views6": {"operator": STACK}},
        "prior": {"name": str(prior_folder)},
        "methods": METHODS,
    }
    path.write_text(yaml.safe_dump(study))
    assert main(["run", str(path), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_every_method_has_all_numbers(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert (metrics["num_scans"], metrics["num_slices"]) == (1, 5)
    planes = [f"psnr_{plane}" for plane in ("axial", "coronal", "sagittal")]
    # five slices are too few for the SSIM of the other planes
    keys = [*planes, "ssim_axial", "jitter", "seconds", "network_calls_per_slice", "peak_mb"]
    for name in METHODS:
        for key in keys:
            mean = metrics[f"{key}_{name}_views6"]
            assert np.isfinite(mean)
            assert mean == metrics[f"{key}_{name}_views6_sts-044"]
        assert metrics[f"peak_mb_{name}_views6"] > 10
    assert metrics["psnr_axial_tv-3d_views6"] > metrics["psnr_axial_fbp_views6"]


def test_network_calls_are_counted_in_slices(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    calls = {name: metrics[f"network_calls_per_slice_{name}_views6"] for name in METHODS}
    assert calls["fbp"] == calls["tv-2d"] == calls["tv-3d"] == 0
    assert calls["slice-wise"] == calls["diffpir-3d"] == calls["dds-3d"] == 3
    # a predictor and a corrector, which the last step has no noise for
    assert calls["mbir"] == 2 * 3 - 1
    # 32 rows each: all coronal and all sagittal planes are 32 x 32, instead of 5 slices
    assert calls["red-diff-3d"] == pytest.approx(3 + 3 * 2 * 32 / 5)


def test_report_and_figures(finished):
    page = (finished / "report.html").read_text()
    assert "views6: 6 parallel-beam views over 180 degrees, of every slice" in page
    for name in ("planes_views6", "errors_views6", "profile_views6", "jitter"):
        assert (finished / f"{name}.png").is_file()
    assert '<a href="viewer_views6.html">Open the volumes of sts-044, views6</a>' in page
    viewer = (finished / "viewer_views6.html").read_text()
    assert all(name in viewer for name in ("truth", *METHODS))


def test_volumes_are_in_their_place(finished):
    scan = fill(orient(read_dicom(sample_path("sts-044"))), 32)
    names = {f"sts-044_views6_{name}" for name in METHODS} | {"sts-044_truth"}
    assert {p.name for p in (finished / "volumes").iterdir()} == {f"{n}.nii.gz" for n in names}
    for name in names:
        image = read_nifti(finished / "volumes" / f"{name}.nii.gz", modality="CT")
        np.testing.assert_allclose(image.affine, scan.affine, atol=1e-4)
        assert image.values.shape == scan.values.shape
        series = read_dicom(finished / "dicom" / name)
        np.testing.assert_allclose(series.affine, scan.affine, atol=1e-4)
        step = np.ptp(image.values) / 65534
        np.testing.assert_allclose(series.values, image.values, atol=step)
    truth = read_nifti(finished / "volumes" / "sts-044_truth.nii.gz", modality="CT")
    np.testing.assert_allclose(truth.values, scan.values.clip(min=-1000), atol=0.01)


def test_planes_have_the_head_up(finished):
    with np.load(finished / "arrays.npz") as stored:
        truth = read_nifti(finished / "volumes" / "sts-044_truth.nii.gz").values
        index, row, column = stored["place"]
        np.testing.assert_allclose(stored["axial/views6/truth"], truth[index])
        # the affine of this scan has z grow with the slices: the last one is at the top
        np.testing.assert_allclose(stored["coronal/views6/truth"], truth[::-1, row])
        np.testing.assert_allclose(stored["sagittal/views6/truth"], truth[::-1, :, column])
        np.testing.assert_allclose(stored["line/views6/truth"], truth[:, row, column])
        np.testing.assert_allclose(stored["z_mm"], -791.34 + 3.27 * np.arange(5), atol=1e-2)


def test_planes_do_not_depend_on_the_order_of_the_slices():
    image = read_dicom(sample_path("sts-044"))
    affine = image.affine.copy()
    affine[:, 3] += (image.num_slices - 1) * affine[:, 2]
    affine[:, 2] *= -1
    reversed_ = dataclasses.replace(image, values=image.values[::-1].copy(), affine=affine)
    views = [View(_prepared("x", scan, "all", 32, None)) for scan in (image, reversed_)]
    first, second = (view.of(view.scan.placed.values) for view in views)
    for key in ("coronal", "sagittal", "line"):
        np.testing.assert_array_equal(first[key], second[key])
    np.testing.assert_allclose(views[0].geometry()["z_mm"], views[1].geometry()["z_mm"])


def test_mr_and_a_part_of_the_slices(values, tmp_path):
    change = {
        "fallback": "head-t1",
        "slices": 3,
        "pixel_mm": 8.0,
        "tasks": {"x4": {"operator": MRI}},
        "methods": {"zero-filled": {"kind": "zero-filled"}, "dds": METHODS["dds-3d"]},
    }
    study = VolumeStudy(**values | change)
    outcome = study.compute(Stages(tmp_path))
    assert outcome.metrics["num_slices"] == 3
    original = read_dicom(sample_path("head-t1"))
    placed = outcome.images["head-t1_truth"]
    np.testing.assert_allclose(placed.spacing, (original.spacing[0], 8.0, 8.0))
    # the middle three of five: the second of them is the first here
    first = to_spacing(orient(original.slice(1)), 32, 8.0)
    np.testing.assert_allclose(placed.affine, first.affine)
    np.testing.assert_allclose(placed.values[0], first.values[0], rtol=1e-5, atol=1e-3)


def test_a_method_goes_on_from_another_and_bears_its_cost(values, tmp_path):
    step = {"kind": "red-diff-3d", "num_steps": 2, "relaxation": 1e-6}
    methods = {
        "first": {"kind": "dds-3d", "num_steps": 3},
        "alone": step,
        "after": step | {"start": "first"},
    }
    outcome = VolumeStudy(**values | {"methods": methods}).compute(Stages(tmp_path))
    first, alone, after = (outcome.images[f"sts-044_views6_{n}"].values for n in methods)
    # it hardly moves, in HU
    np.testing.assert_allclose(after, first, atol=1)
    assert abs(after - alone).max() > 10
    calls = [outcome.metrics[f"network_calls_per_slice_{n}_views6"] for n in methods]
    assert calls == [3, 2, 5]


@pytest.mark.parametrize(
    ("sample", "operator", "direct"),
    [
        ("sts-044", {"kind": "ct-cone", "views": 4}, "fbp"),
        ("head-t1", {"kind": "mri-cartesian-3d", "coils": 2, "readout": "slices"}, "zero-filled"),
    ],
)
def test_operators_that_measure_slices_together(sample, operator, direct, values, tmp_path):
    change = {
        "fallback": sample,
        "tasks": {"whole": {"operator": operator}},
        "methods": {direct: {"kind": direct}, "tv": METHODS["tv-3d"], "dds": METHODS["dds-3d"]},
    }
    outcome = VolumeStudy(**values | change).compute(Stages(tmp_path))
    found = [outcome.metrics[f"residual_over_noise_{name}_whole"] for name in change["methods"]]
    assert np.isfinite(found).all()
    assert outcome.images[f"{sample}_whole_{direct}"].values.shape == (5, 32, 32)


def test_a_configuration_becomes_couplings(values):
    methods = VolumeStudy(**values).methods
    assert methods["dds-3d"].build() == DDS3D(num_steps=3)
    assert methods["dds-3d"].build().coupling == Independent()
    both = methods["red-diff-3d"].build().coupling
    assert isinstance(both, Together)
    assert both.parts[0] == TotalVariationZ()
    assert isinstance(both.parts[1], PerpendicularPrior)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fallback": None}, "scans: expected one, or a fallback"),
        ({"fallback": "sts-999"}, "fallback: expected one of"),
        ({"scans": [{"path": "a/x"}, {"path": "b/x"}]}, "names that differ"),
        ({"methods": {"truth": {"kind": "fbp"}}}, "truth is no name"),
        ({"methods": {"a_b": {"kind": "fbp"}}}, "should match pattern"),
        ({"methods": {"z": {"kind": "zero-filled"}}}, "does not invert ct-parallel"),
        ({"tasks": {"x4": {"operator": MRI}}}, "fbp does not invert mri-cartesian"),
        ({"tasks": {"c": {"operator": {"kind": "ct-cone", "views": 4}}}}, "kind stack"),
        ({"methods": {"r": {"kind": "red-diff-3d", "num_steps": 0}}}, "num_steps >= 2"),
        (
            {"methods": {"r": {"kind": "red-diff-3d", "coupling": {"kind": "tv-z", "x": 1}}}},
            "Extra inputs",
        ),
        (
            {"methods": {"r": {"kind": "dds-3d", "start": "b"}, "b": {"kind": "fbp"}}},
            "start: expected a method before it, got 'b'",
        ),
        ({"slices": 1}, "greater than or equal to 2"),
        ({"tasks": {}}, "at least 1"),
        ({"tasks": {"v": {"operator": STACK, "noise": {"kind": "gaussian"}}}}, "of a level"),
    ],
)
def test_volume_study_refuses(change, reason, values):
    with pytest.raises(ValueError, match=reason):
        VolumeStudy(**values | change)


class Stopped(Exception):
    pass


def _stop_at(monkeypatch, number):
    """Interrupt every sampler of volumes at a step."""
    original = RedDiff3D.step

    def step(self, i, *arguments):
        if i == number:
            raise Stopped
        return original(self, i, *arguments)

    monkeypatch.setattr(RedDiff3D, "step", step)


def test_an_interrupted_method_goes_on_to_the_same_bits(values, tmp_path, monkeypatch):
    names = ("tv-3d", "red-diff-3d")
    study = VolumeStudy(**values | {"methods": {name: METHODS[name] for name in names}})
    whole = study.compute(Stages(tmp_path / "whole"))
    stages = Stages(tmp_path / "parts")
    with monkeypatch.context() as patch:
        _stop_at(patch, 2)
        with pytest.raises(Stopped):
            study.compute(stages)
    kept = tmp_path / "parts" / "sts-044_views6_red-diff-3d-steps"
    newest = sorted(path.name for path in kept.glob("*.safetensors"))[-1]
    assert newest.endswith("step000002.safetensors")
    # what is finished is not done again, nor are the steps before the checkpoint
    monkeypatch.setattr(volume_methods, "total_variation", None)
    seen = []
    original = RedDiff3D.step
    monkeypatch.setattr(
        RedDiff3D, "step", lambda self, i, *rest: seen.append(i) or original(self, i, *rest)
    )
    resumed = study.compute(stages)
    assert seen == [2]
    assert not kept.exists()
    for name in names:
        first, second = (o.images[f"sts-044_views6_{name}"].values for o in (whole, resumed))
        np.testing.assert_array_equal(first, second)
    # the calls of both attempts count
    key = "network_calls_per_slice_red-diff-3d_views6"
    assert resumed.metrics[key] == whole.metrics[key]


def test_checkpoints_are_kept_every_so_many_steps(values, tmp_path, monkeypatch):
    change = {"methods": {"red": METHODS["red-diff-3d"]}, "checkpoint_every": 2}
    seen = []
    original = FileCheckpoints.save

    def save(self, step, state):
        original(self, step, state)
        seen.append(any(self._folder.glob("*.safetensors")))

    monkeypatch.setattr(FileCheckpoints, "save", save)
    VolumeStudy(**values | change).compute(Stages(tmp_path))
    assert seen == [False, False, True]


def test_volumes_may_live_on_the_disk(values, tmp_path):
    change = {"methods": {"red": METHODS["red-diff-3d"]}}
    memory = {"memory": {"limit_mb": 4000, "storage": "disk", "chunk_size": 1}}
    plain, mapped = (
        VolumeStudy(**values | change | more).compute(Stages(tmp_path / str(k)))
        for k, more in enumerate(({}, memory))
    )
    first, second = (o.images["sts-044_views6_red"].values for o in (plain, mapped))
    np.testing.assert_allclose(first, second, atol=0.1)  # HU


def test_scans_of_a_path_and_means_over_them(values, tmp_path):
    for name in ("first", "second_one.x"):
        (tmp_path / name).symlink_to(sample_path("sts-044"))
    change = {
        "scans": [{"path": str(tmp_path / "first")}, {"path": str(tmp_path / "second_one.x")}],
        "methods": {"fbp": METHODS["fbp"]},
    }
    metrics = VolumeStudy(**values | change).compute(Stages(tmp_path / "stages")).metrics
    assert metrics["num_scans"] == 2
    both = [metrics[f"psnr_axial_fbp_views6_{name}"] for name in ("first", "second-one")]
    # their noise differs
    assert both[0] != both[1]
    assert metrics["psnr_axial_fbp_views6"] == pytest.approx(np.mean(both))


def test_missing_scans(values, tmp_path, caplog):
    there = sample_path("sts-044")
    change = {"scans": [{"path": str(tmp_path / "none")}], "methods": {"fbp": METHODS["fbp"]}}
    outcome = VolumeStudy(**values | change).compute(Stages(tmp_path))
    assert "the sample sts-044 is used" in caplog.text
    assert "sts-044_truth" in outcome.images
    some = {"scans": [{"path": str(tmp_path / "none")}, {"path": str(there)}]}
    with pytest.raises(ValueError, match="none: no such file or folder"):
        VolumeStudy(**values | change | some).compute(Stages(tmp_path))
    alone = {"fallback": None}
    with pytest.raises(ValueError, match="samples that ship are"):
        VolumeStudy(**values | change | alone).compute(Stages(tmp_path))


def test_what_is_no_axial_volume_is_refused(values, tmp_path):
    image = read_dicom(sample_path("sts-044"))
    turned = dataclasses.replace(image, affine=image.affine[[0, 2, 1, 3]])
    write_nifti(turned, tmp_path / "coronal.nii")
    write_nifti(image.slice(0), tmp_path / "flat.nii")
    np.save(tmp_path / "array.npy", image.values[0])
    for name in ("coronal.nii", "flat.nii", "array.npy"):
        study = VolumeStudy(**values | {"scans": [{"path": str(tmp_path / name)}]})
        with pytest.raises(ValueError, match=r"expected (a stack of two axial|an image)"):
            study.compute(Stages(tmp_path))


def test_messages_name_the_method(values, refusal):
    methods = {"mine": {"kind": "red-diff-3d", "num_stepz": 3}}
    reason = refusal(values | {"methods": methods})
    assert reason == "methods.mine.num_stepz: unknown key, did you mean num_steps?"
