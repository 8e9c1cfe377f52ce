from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from matplotlib import image as mpl_image

from invdiff.study.cli import main
from invdiff.study.report import write_index

FIGURES = ("comparison.png", "errors.png", "misfit.png", "uncertainty.png")


@pytest.fixture
def finished(config, run):
    out, _ = run({**config, "title": "A <disc>", "num_samples": 2})
    return out


def _assert_self_contained(html: str) -> None:
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', html)
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in html
    assert not re.search(r"@import|url\(", html)


def test_report(finished, capsys) -> None:
    page = finished / "report.html"
    html = page.read_text()
    _assert_self_contained(html)
    assert html.count("<img") == len(FIGURES)
    for words in ("A &lt;disc&gt;", "Total variation", "RED-diff", "Simulated measurement"):
        assert words in html
    for name in FIGURES:
        assert mpl_image.imread(finished / name).std() > 0.01
    # drawn again, from the arrays alone
    shutil.copy(page, finished / "before.html")
    page.unlink()
    assert main(["report", str(finished)]) == 0
    assert page.read_bytes() == (finished / "before.html").read_bytes()
    index = write_index(finished.parent, [finished.name, finished.name], "Both")
    _assert_self_contained(index.read_text())
    assert index.read_text().count("<article>") == 2


def test_report_without_a_truth(config, run, tmp_path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "sinogram.npy", rng.random((8, 46)).astype(np.float32))
    grid = {"kind": "spacing", "pixel_mm": 2.0}
    config["input"] = {"path": str(tmp_path / "sinogram.npy"), "grid": grid}
    out, _ = run({**config, "noise": {"kind": "gaussian", "sigma": 0.1}})
    assert not (out / "errors.png").exists()
    html = (out / "report.html").read_text()
    _assert_self_contained(html)
    assert "Measured sinogram" in html


def test_report_of_a_folder_that_is_none(tmp_path, capsys) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "not the folder of a finished run" in capsys.readouterr().err


@pytest.mark.parametrize("trained", ["MR", "CT", "other"])
@pytest.mark.usefixtures("undrawn")
def test_prior_of_another_modality_is_said(config, prior_folder, run, caplog, tmp_path, trained):
    folder = tmp_path / "mine"
    shutil.copytree(prior_folder, folder)
    (folder / "prior.json").write_text(json.dumps({"modality": trained}))
    out, _ = run({**config, "prior": {"name": str(folder)}, "baselines": []})
    words = "The prior mine was trained on MR, and the image is CT"
    said = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert said == ([words] if trained == "MR" else [])
    assert (f"{words}.</p>" in (out / "report.html").read_text()) == (trained == "MR")


@pytest.mark.usefixtures("undrawn")
def test_unit_that_is_not_known_is_arbitrary(config, run) -> None:
    values = {"input": {"sample": "head-t1"}, "operator": {"kind": "inpainting"}, "baselines": []}
    out, _ = run({**config, **values})
    units = json.loads((out / "provenance.json").read_text())["units"]
    assert units["name"] == "arbitrary units"
