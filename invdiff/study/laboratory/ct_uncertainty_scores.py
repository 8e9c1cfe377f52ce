"""The numbers of the study of CT uncertainty: calibrate on some slices, judge on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter, label
from scipy.stats import norm
from torch import Tensor

from invdiff.metrics import psnr
from invdiff.samplers import Samples
from invdiff.study.scripted import Arrays, Metrics, Outcome
from invdiff.uncertainty import (
    ConformalCalibration,
    coverage,
    coverage_curve,
    credible_interval,
    crps,
    spread_error_correlation,
    z_scores,
)

__all__ = ["LEVELS", "Slice", "evaluate"]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# half way from air to water
_SKIN_HU = -500.0
# share of the image that a part of the body has at least: the table has less
_SMALLEST_PART = 0.02


@dataclass(frozen=True, eq=False)
class Slice:
    """Samples of a slice and its truth, in HU.

    Args:
        all_samples: Every sample that was drawn.
        samples: As many as every other slice has.
        truth: Shape (rows, columns).
        body: Where filtered back-projection shows a body: known of a real scan, and the same
            for all samplers.
        arrays: All that was stored.
    """

    all_samples: Samples
    samples: Samples
    truth: Tensor
    body: Tensor
    arrays: Arrays

    @classmethod
    def of(cls, arrays: Arrays, num_samples: int) -> Slice:
        """Take a slice as it was stored, and ``num_samples`` of its samples for comparisons."""
        values, weights = (torch.from_numpy(arrays[k]) for k in ("samples", "log_weights"))
        some = Samples(values[:num_samples], weights[:num_samples].log_softmax(0))
        body = torch.from_numpy(_body(arrays["fbp"]))
        return cls(Samples(values, weights), some, torch.from_numpy(arrays["truth"]), body, arrays)

    def calibrated(
        self, others: Sequence[Slice], level: float, floor: float, *, of_all: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the interval that a calibration on other slices gives this one."""
        calibration = ConformalCalibration.fit(
            [s.samples for s in others],
            [s.truth for s in others],
            level,
            floor=floor,
            regions=[s.body.long() for s in others],
        )
        return calibration.apply(self.all_samples if of_all else self.samples, self.body.long())


def evaluate(
    judged: Sequence[Slice],
    calibration: Sequence[Slice] | None,
    *,
    shown: int,
    level: float,
    floor: float,
    data_range: float,
) -> Outcome:
    """Judge slices whose calibration was made on others.

    Args:
        judged: What the numbers are of.
        calibration: What intervals are calibrated on; the other judged slices if None.
        shown: Index of the slice that is drawn.
        level: Of the interval.
        floor: Of the spread, in HU.
        data_range: For PSNR, in HU.
    """
    others = [calibration or [*judged[:i], *judged[i + 1 :]] for i in range(len(judged))]
    metrics = _coverage(judged, others, level, floor)
    metrics |= _curves(judged, others, floor)
    metrics |= _scores(judged, data_range)
    arrays, more = _shown(judged[shown], others[shown], level, floor)
    more["psnr_mean"] = _psnr(judged[shown].all_samples, judged[shown].truth, data_range)
    return Outcome(metrics | more, arrays)


def _body(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    # one pixel of smoothing against the streaks
    filled = binary_fill_holes(gaussian_filter(image, 1.0) > _SKIN_HU)
    parts, _ = label(filled)
    large = np.bincount(parts.ravel()) >= _SMALLEST_PART * image.size
    # what is outside of all parts
    large[0] = False
    return np.asarray(large[parts])


def _coverage(
    judged: Sequence[Slice], others: Sequence[Sequence[Slice]], level: float, floor: float
) -> Metrics:
    values: dict[str, list[float]] = {}
    for s, rest in zip(judged, others, strict=True):
        raw = credible_interval(s.samples, level)
        calibrated = s.calibrated(rest, level, floor)
        for name, (lower, upper) in (("_raw", raw), ("", calibrated)):
            width = (upper - lower)[s.body].mean()
            held = {
                f"coverage_90{name}": coverage(lower, upper, s.truth, s.body),
                f"coverage_90{name}_air": coverage(lower, upper, s.truth, ~s.body),
                f"coverage_90{name}_all": coverage(lower, upper, s.truth),
                f"interval_width{name}_HU": width,
            }
            for key, value in held.items():
                values.setdefault(key, []).append(value.item())
    per_slice = {f"{key}_per_slice": v for key, v in values.items() if not key.endswith("HU")}
    return {key: fmean(v) for key, v in values.items()} | per_slice


def _curves(judged: Sequence[Slice], others: Sequence[Sequence[Slice]], floor: float) -> Metrics:
    """Return coverage within the body by level: mean, worst and best slice."""
    raw = torch.stack([coverage_curve(s.samples, s.truth, LEVELS, s.body) for s in judged])
    calibrated = torch.stack(
        [
            torch.stack([coverage(*s.calibrated(rest, p, floor), s.truth, s.body) for p in LEVELS])
            for s, rest in zip(judged, others, strict=True)
        ]
    )
    curves: dict[str, Any] = {"coverage_curve_levels": list(LEVELS)}
    for name, values in (("raw", raw), ("calibrated", calibrated)):
        curves[f"coverage_curve_{name}"] = values.mean(0).tolist()
        curves[f"coverage_curve_{name}_lowest"] = values.amin(0).tolist()
        curves[f"coverage_curve_{name}_highest"] = values.amax(0).tolist()
    return curves


def _scores(judged: Sequence[Slice], data_range: float) -> Metrics:
    values = {
        "crps": [_mean_crps(s, s.body) for s in judged],
        "crps_all": [_mean_crps(s, torch.ones_like(s.body)) for s in judged],
        "spearman": [spread_error_correlation(s.samples, s.truth, s.body) for s in judged],
        "spearman_all": [spread_error_correlation(s.samples, s.truth) for s in judged],
        "psnr": [_psnr(s.samples, s.truth, data_range) for s in judged],
    }
    per_slice = {f"{key}_per_slice": v for key, v in values.items() if not key.endswith("_all")}
    return {key: fmean(v) for key, v in values.items()} | per_slice


def _mean_crps(s: Slice, mask: Tensor) -> float:
    score = crps(s.samples.values, s.truth, s.samples.log_weights, fair=True)
    return score[mask].mean().item()


def _psnr(samples: Samples, truth: Tensor, data_range: float) -> float:
    return psnr(samples.mean(), truth, data_range=data_range).item()


def _shown(s: Slice, others: Sequence[Slice], level: float, floor: float) -> tuple[Arrays, Metrics]:
    """Return the images of the slice that is drawn, of all its samples, and numbers of them."""
    lower, upper = s.calibrated(others, level, floor, of_all=True)
    z = z_scores(s.all_samples, s.truth)
    images = {
        "mean": s.all_samples.mean(),
        "std": s.all_samples.std(),
        "z": z,
        "width": upper - lower,
        # what a normal distribution with that interval has
        "std_calibrated": (upper - lower) / (2 * float(norm.ppf((1 + level) / 2))),
        "body": s.body,
    }
    arrays = {name: image.numpy() for name, image in images.items()}
    kept = {name: s.arrays[name] for name in ("truth", "fbp", "pixel_mm")}
    within = z[s.body & z.isfinite()]
    numbers = {
        "coverage_90_shown": coverage(lower, upper, s.truth, s.body).item(),
        "spearman_shown": spread_error_correlation(s.all_samples, s.truth, s.body),
        "z_mean": within.mean().item(),
        "z_std": within.std().item(),
        "psnr_fbp": psnr(
            torch.from_numpy(s.arrays["fbp"]), s.truth, data_range=float(s.arrays["data_range"])
        ).item(),
    }
    return {k: np.asarray(v) for k, v in (arrays | kept).items()}, numbers
