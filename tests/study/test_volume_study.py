"""The study of volumes, with an untrained network on the slices that ship."""

import dataclasses
import json

import numpy as np
import pytest
import yaml

from invdiff.data import fill, orient, read_dicom, read_nifti, sample_path
from invdiff.study.cli import main
from invdiff.study.laboratory.volume import VolumeStudy
from invdiff.study.laboratory.volume_scans import _prepared
from invdiff.study.laboratory.volume_views import View
from invdiff.study.stages import Stages
from invdiff.volumes import DDS3D, Independent, PerpendicularPrior, Together, TotalVariationZ

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
        ({"slices": 1}, "greater than or equal to 2"),
        ({"tasks": {}}, "at least 1"),
        ({"tasks": {"v": {"operator": STACK, "noise": {"kind": "gaussian"}}}}, "of a level"),
    ],
)
def test_volume_study_refuses(change, reason, values):
    with pytest.raises(ValueError, match=reason):
        VolumeStudy(**values | change)
