"""The numbers of a study of volumes, and the tables that hold them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from invdiff.study.laboratory.volume_meter import Cost
from invdiff.study.laboratory.volume_scans import VolumeScan
from invdiff.study.scripted import Metrics, Table
from invdiff.volumes.quality import PLANES, body_of, jitter, plane_psnr, plane_ssim

__all__ = ["KEYS", "averaged", "scores", "tables"]

_QUALITY = tuple(f"{metric}_{plane}" for metric in ("psnr", "ssim") for plane in PLANES)
_COST = ("seconds", "network_calls_per_slice", "peak_mb")
# all numbers of a method, without the suffix that names it
KEYS = (*_QUALITY, "jitter", "residual_over_noise", *_COST)
_HEADINGS = {
    "jitter": "jitter",
    "residual_over_noise": "residual / noise",
    "seconds": "seconds",
    "network_calls_per_slice": "network calls a slice",
    "peak_mb": "peak memory (MB)",
}
_CAPTION = (
    "PSNR and SSIM are means over the planes of a direction that meet the body, relative to the "
    "range of the prior. Jitter is the variation from slice to slice within the body over that "
    "of the truth: 1 is the truth's own. A network call is one slice's number of pixels."
)


def scores(scan: VolumeScan, volume: Tensor, misfit: float, cost: Cost) -> dict[str, float]:
    """Return the numbers of a method; SSIM is left out where planes are too narrow for it."""
    truth, units = scan.truth, scan.units
    body = body_of(truth, (units.low, units.high))
    span = units.high - units.low
    numbers: dict[str, float] = {}
    for plane in PLANES:
        numbers[f"psnr_{plane}"] = plane_psnr(volume, truth, body, plane, span)
        similarity = plane_ssim(volume, truth, body, plane, span)
        if similarity is not None:
            numbers[f"ssim_{plane}"] = similarity
    return numbers | {
        "jitter": jitter(volume, truth, body),
        "residual_over_noise": misfit,
        "seconds": cost.seconds,
        "network_calls_per_slice": cost.pixels / truth.numel(),
        "peak_mb": cost.peak_mb,
    }


def averaged(found: dict[tuple[str, str, str], dict[str, float]]) -> Metrics:
    """Return all numbers with ``_<method>_<task>_<scan>``, and means with ``_<method>_<task>``.

    Args:
        found: Numbers by (method, task, scan).
    """
    metrics: Metrics = {}
    for method, task in dict.fromkeys((m, t) for m, t, _ in found):
        of_scans = [n for (m, t, _), n in found.items() if (m, t) == (method, task)]
        for key in KEYS:
            values = [numbers[key] for numbers in of_scans if key in numbers]
            if values:
                metrics[f"{key}_{method}_{task}"] = sum(values) / len(values)
    for (method, task, scan), numbers in found.items():
        metrics |= {f"{key}_{method}_{task}_{scan}": v for key, v in numbers.items()}
    return metrics


def tables(
    metrics: Metrics, methods: Sequence[str], tasks: dict[str, str], scans: Sequence[str]
) -> list[Table]:
    """Return the means of each task, and its scans one by one if there are several.

    Args:
        metrics: Of the study.
        methods: Their names.
        tasks: Names, and what is measured in words.
        scans: Their names.
    """
    made = []
    for task, words in tasks.items():
        suffixes: dict[tuple[str, ...], str] = {(name,): f"{name}_{task}" for name in methods}
        made.append(_table(f"{task}: {words}", ("method",), metrics, suffixes))
        if len(scans) > 1:
            pairs = [(name, scan) for scan in scans for name in methods]
            suffixes = {pair: f"{pair[0]}_{task}_{pair[1]}" for pair in pairs}
            made.append(_table(f"{task}, scan by scan", ("method", "scan"), metrics, suffixes))
    return made


def _table(
    title: str,
    first: tuple[str, ...],
    metrics: Metrics,
    suffixes: dict[tuple[str, ...], str],
) -> Table:
    keys = [k for k in KEYS if any(f"{k}_{suffix}" in metrics for suffix in suffixes.values())]
    rows = tuple(
        (*words, *(_cell(key, metrics.get(f"{key}_{suffix}")) for key in keys))
        for words, suffix in suffixes.items()
    )
    return Table(title, (*first, *(_heading(key) for key in keys)), rows, _CAPTION)


def _heading(key: str) -> str:
    if key in _HEADINGS:
        return _HEADINGS[key]
    metric, plane = key.split("_")
    return f"{metric.upper()} {plane}{' (dB)' if metric == 'psnr' else ''}"


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return ""
    digits = {"psnr": 2, "ssim": 3, "jitter": 2, "residual": 2, "seconds": 1, "network": 1}
    return f"{value:.{digits.get(key.split('_')[0], 0)}f}"
