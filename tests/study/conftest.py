from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from diffusers import DDPMScheduler, UNet2DModel

from invdiff.data import read_dicom, sample_path
from invdiff.study import page, report
from invdiff.study.cli import main

SIZE = 32


@pytest.fixture(scope="session")
def prior_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of 32 x 32 images, in the layout of diffusers."""
    folder = tmp_path_factory.mktemp("tiny-prior")
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        network = UNet2DModel(
            sample_size=SIZE,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(8, 8),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        )
    network.save_pretrained(folder / "unet")
    DDPMScheduler(prediction_type="sample").save_pretrained(folder / "scheduler")
    (folder / "prior.json").write_text(json.dumps({"title": "untrained"}))
    return folder


@pytest.fixture(scope="session")
def nifti_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc of water with a dense insert, in HU, under an oblique affine."""
    rows, columns = np.mgrid[-1:1:40j, -1:1:36j]
    disc = np.where(np.hypot(rows, columns) < 0.8, 0.0, -1000.0)
    disc[(rows - 0.3) ** 2 + columns**2 < 0.02] = 800
    affine = np.array([[-1.5, 0, 0, 20], [0, 1.5, 0, -30], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    path = tmp_path_factory.mktemp("nifti") / "disc.nii.gz"
    volume = np.stack([disc.T] * 3, axis=-1).astype(np.float32)
    nib.save(nib.Nifti1Image(volume, affine), path)
    return path


@pytest.fixture(scope="module")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Path]:
    """Run a study for all tests of a file; give its folder."""

    def run(values: dict[str, Any]) -> Path:
        folder = tmp_path_factory.mktemp("study")
        (folder / "tiny.yaml").write_text(yaml.safe_dump(values))
        assert main(["run", str(folder / "tiny.yaml"), "--out", str(folder / "out")]) == 0
        return folder / "out"

    return run


@pytest.fixture
def config(prior_folder: Path, nifti_ct: Path) -> dict[str, Any]:
    """A run of a second: few views, few steps."""
    return {
        "name": "tiny",
        "input": {"path": str(nifti_ct), "modality": "CT"},
        "operator": {"kind": "ct-parallel", "views": 8},
        "prior": {"name": str(prior_folder)},
        "sampler": {"kind": "red-diff", "num_steps": 3, "num_cg": 2},
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, Any]], str]:
    """Write values as a configuration file; JSON is YAML."""

    def write(values: dict[str, Any]) -> str:
        path = tmp_path / "experiment.yaml"
        path.write_text(json.dumps(values))
        return str(path)

    return write


@pytest.fixture(autouse=True)
def _coarse_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_DPI", 40)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out: they take longer than everything else."""
    monkeypatch.setattr(report, "_FIGURES", {})


@pytest.fixture
def run(
    tmp_path: Path, write: Callable[[dict[str, Any]], str]
) -> Callable[..., tuple[Path, dict[str, Any]]]:
    """Run a configuration; give its folder and its metrics."""

    def run(values: dict[str, Any], *words: str, name: str = "out") -> Any:
        out = tmp_path / name
        assert main(["run", write(values), "--out", str(out), *words]) == 0
        return out, json.loads((out / "metrics.json").read_text())

    return run


@pytest.fixture
def refusal(
    tmp_path: Path,
    write: Callable[[dict[str, Any]], str],
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Run a configuration that is refused; give the one line that says why."""

    def refusal(values: dict[str, Any], *words: str, name: str = "refused") -> str:
        out = tmp_path / name
        capsys.readouterr()
        assert main(["run", write(values), "--out", str(out), *words]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert not out.with_name(f"{name}.partial").exists()
        return lines[0].removeprefix("invdiff: error: ")

    return refusal


@pytest.fixture(scope="session")
def head() -> np.ndarray:
    """The middle slice of the head sample, thinned to 32 x 32."""
    image = read_dicom(sample_path("head-t1")).middle()
    return image.values[0, ::12, ::9][:SIZE, : SIZE - 2]
