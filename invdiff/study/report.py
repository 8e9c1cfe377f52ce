"""One page with everything about a result, which opens without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from invdiff.study.figures import (
    comparison,
    errors,
    heldout,
    misfit,
    title_of,
    uncertainty,
)
from invdiff.study.forward import MRIConfig
from invdiff.study.modality import caution
from invdiff.study.page import inlined, render
from invdiff.study.result import Result, read_result

__all__ = ["summary_of", "write_index", "write_report"]

_FIGURES = {
    "comparison": comparison,
    "errors": errors,
    "heldout": heldout,
    "uncertainty": uncertainty,
    "misfit": misfit,
}


def write_report(folder: Path) -> Path:
    """Draw the figures of a result into its folder, and write ``report.html``.

    Raises:
        ValueError: The folder holds no result.
    """
    page = _context(read_result(folder), folder)
    return render(folder / "report.html", "report", pages=[page], title=page["title"])


def write_index(folder: Path, names: Sequence[str], title: str) -> Path:
    """Write ``index.html``: the reports of several sub-folders on one page."""
    pages = [_context(read_result(folder / name), folder / name) for name in names]
    return render(folder / "index.html", "report", pages=pages, title=title)


def _context(result: Result, folder: Path) -> dict[str, Any]:
    """Return what the template shows of a result."""
    drawn = {name: draw(result) for name, draw in _FIGURES.items()}
    return {
        "title": result.experiment.title or result.experiment.name,
        "summary": summary_of(result),
        "figures": {n: inlined(f, folder / f"{n}.png") for n, f in drawn.items() if f is not None},
        "rows": [_row(result, name) for name in result.images],
        "has_truth": "truth" in result.arrays,
        "is_ct": result.units.name == "HU",
        "unit": result.units.name,
        "samples": result.experiment.num_samples,
        "config": yaml.safe_dump(_settings(result), sort_keys=False),
        "provenance": yaml.safe_dump(result.provenance, sort_keys=False),
        "prior": result.provenance["prior"].get("title", result.experiment.prior.name),
    }


def _settings(result: Result) -> dict[str, Any]:
    """Return the configuration without what measured k-space makes no use of."""
    measured = "kspace_locations" in result.provenance
    unused = {"operator": set(MRIConfig.SIMULATED)} if measured else None
    return result.experiment.model_dump(mode="json", exclude=unused)


def _row(result: Result, name: str) -> dict[str, Any]:
    quality = ("psnr", "ssim", "heldout_nrmse", "energy_outside_support")
    keys = (*quality, "residual_over_noise", "seconds")
    row: dict[str, Any] = {key: result.metric(key, name) for key in keys}
    return {**row, "name": title_of(result, name), "main": not name}


def summary_of(result: Result) -> str:
    """Say in a few sentences what was reconstructed, how well, and how it explains the data."""
    experiment, metrics = result.experiment, result.metrics
    method, prior = title_of(result, ""), Path(experiment.prior.name).name
    text = f"{experiment.input.describe()}. {result.provenance['description']}. "
    text += f"{method} with the prior {prior} took {metrics['seconds']:.0f} s"
    if "psnr" in metrics:
        text += f" and reached {metrics['psnr']:.1f} dB PSNR (SSIM {metrics['ssim']:.3f})"
        best = _best_baseline(result)
        text += f", {best}" if best else ""
    if "heldout_nrmse" in metrics:
        text += f". {_heldout_summary(result)}"
    misfit = metrics["residual_over_noise"]
    text += f". Its residual is {misfit:.2f} times the noise{_verdict(misfit)}"
    # results of before say nothing of it
    words = caution(prior, result.provenance["prior"], result.provenance.get("modality", "other"))
    return f"{text}. {words}." if words else f"{text}."


def _heldout_summary(result: Result) -> str:
    names = [name for name in result.images if name]
    numbers = [f"{title_of(result, n)} {result.metric('heldout_nrmse', n):.3f}" for n in names]
    others = f" ({', '.join(numbers)})" if numbers else ""
    return (
        f"It predicts the samples that were held out to an NRMSE of "
        f"{result.metrics['heldout_nrmse']:.3f}{others}, where noise alone gives "
        f"{result.metrics['heldout_noise_floor']:.3f}"
    )


def _best_baseline(result: Result) -> str:
    scores = {name: result.metric("psnr", name) for name in result.images if name}
    known = {name: value for name, value in scores.items() if value is not None}
    if not known:
        return ""
    name = max(known, key=lambda key: known[key])
    return f"the best classical method ({title_of(result, name)}) {known[name]:.1f} dB"


def _verdict(misfit: float) -> str:
    if misfit > 1.15:
        return ": the image does not explain the data fully"
    if misfit < 0.85:
        return ": the image follows part of the noise"
    return ", as it should be"
