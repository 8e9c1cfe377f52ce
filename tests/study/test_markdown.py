"""A result as Markdown holds its numbers, and the command only where there is one."""

from __future__ import annotations

import json

from invdiff.study.cli import main
from invdiff.study.load import load_study
from invdiff.study.markdown import as_markdown
from invdiff.study.run_scripted import run_study


def assert_told_by_name(folder, name, capsys):
    """Without a metric, as a folder of another version may be."""
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics[name]
    path.write_text(json.dumps(metrics))
    for words in ((), ("--markdown",)):
        assert main(["report", str(folder), *words]) == 2
        told = capsys.readouterr().err
        assert f"{folder}: has no metric '{name}', which the report" in told
        assert told.count("\n") == 1


def test_a_reconstruction(config, run, capsys):
    out, metrics = run({**config, "title": "A disc"})
    capsys.readouterr()
    assert main(["report", str(out), "--markdown"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# A disc\n")
    assert f"| RED-diff | {metrics['psnr']:.2f} | {metrics['ssim']:.4f} |" in text
    assert text.count("\n|") == 2 + 1 + sum(name.startswith("psnr_") for name in metrics)
    assert "```shell" not in text  # nobody else has this configuration
    assert "Made on 20" in text
    assert_told_by_name(out, "residual_over_noise", capsys)


def test_a_study(tmp_path, capsys):
    words = ["counts=[32,64,128]", "runs=8", "evidence_count=64", "score_count=128", "dims=2"]
    words += ["measured=1", "score_errors=[0,.5,1.]", "sampler.num_steps=15"]
    run_study(load_study("smc_rate", [*words, "published.num_steps=80"]), tmp_path / "out")
    text = as_markdown(tmp_path / "out")
    assert "invdiff run smc_rate --out result" in text
    assert "| problem | sampler | slope |" in text
    assert_told_by_name(tmp_path / "out", "slope_default_mixture", capsys)


def test_what_is_no_result_is_refused(tmp_path, capsys):
    (tmp_path / "sweep.yaml").touch()
    assert main(["report", str(tmp_path), "--markdown"]) == 2
    assert "summary.csv" in capsys.readouterr().err
    (tmp_path / "sweep.yaml").unlink()
    assert main(["report", str(tmp_path), "--markdown"]) == 2
    assert "not the folder of a finished run" in capsys.readouterr().err
