"""Intervals that hold the truth as often as stated: spread times a factor found on known truths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invdiff.uncertainty._ensemble import Ensemble, magnitude, moments

__all__ = ["ConformalCalibration"]

Unit = Literal["pixel", "image"]

# so that rounding does not ask for one unit more: 10 (1 - 0.9) - 1 is negative in floats
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class ConformalCalibration:
    r"""Rescale the spread of samples so that intervals hold :cite:p:`vovk2005,angelopoulos2024`.

    .. math:: \bar x \pm q\, (s + \epsilon), \qquad q = \min \Bigl\{ \lambda :
        \frac{1}{n + 1} \Bigl(1 + \sum_{i=1}^n L_i(\lambda)\Bigr) \leq 1 - \text{level} \Bigr\}

    :math:`L_i(\lambda)` is the part of unit i outside of its interval, in terms of the scores
    :math:`|x^* - \bar x| / (s + \epsilon)` the part above :math:`\lambda`. What is promised
    depends on the unit:

    - ``"image"``: conformal risk control. If the n images and a new one are exchangeable, with
      all that belongs to them (same scanner, same anatomy, same number of samples), the part of
      the new image inside of its interval is expected to be at least ``level``, however its
      pixels depend on each other. Needs n + 1 >= 1 / (1 - level) images, and is wide with few.
    - ``"pixel"``: all pixels pooled, q is their score of rank ceil((n + 1) level). This is the
      split-conformal bound for pixels that are exchangeable, one by one. Those of an image are
      not, so that it is no bound for a new image: it has the stated coverage on average over
      the images it was fitted to, and on new ones as the number of images (not of pixels) grows.

    In both cases the promise is for an average: over pixels of a region and over images drawn
    anew, neither for a given pixel nor for a given image.

    Args:
        level: Part of the pixels that is to be held.
        floor: epsilon in units of the image: what the spread counts at least where the samples
            agree with each other. An interval there has the width 2 q epsilon.
        factors: q, one per region, shape ``(num_regions,)``; NaN of a region never seen.
        unit: What counted as one observation.
    """

    level: float
    floor: float
    factors: Tensor
    unit: Unit

    @classmethod
    def fit(
        cls,
        samples: Sequence[Ensemble],
        truths: Sequence[Tensor],
        level: float,
        *,
        unit: Unit = "pixel",
        floor: float = 0.0,
        regions: Sequence[Tensor] | None = None,
    ) -> ConformalCalibration:
        """Find the factors on images whose truth is known.

        Args:
            samples: Of each image, without further problems; complex ones count by magnitude.
            truths: The image of each.
            level: Part of the pixels that is to be held, between 0 and 1.
            unit: See the class.
            floor: See the class; not negative.
            regions: Integer labels from 0, one image for each, for a factor per region, such
                as air and body. They must be made without the truth, so that a new image has
                them too; negative ones are not counted.

        Raises:
            ValueError: Lists of other lengths, a number out of range, too few units for the
                level, or a spread of zero beside an error that is not.
        """
        if not (0 < level < 1 and floor >= 0):
            raise ValueError(f"expected 0 < level < 1 and floor >= 0, got {level} and {floor}")
        counts = [len(v) for v in (samples, truths, regions) if v is not None]
        if len(set(counts)) > 1 or counts[0] == 0:
            raise ValueError(
                f"expected samples, truths and regions of as many images, got {counts}"
            )
        scores = [_scores(s, t, floor) for s, t in zip(samples, truths, strict=True)]
        labels = [torch.zeros_like(s, dtype=torch.long) for s in scores]
        labels = labels if regions is None else [r.long() for r in regions]
        num_regions = 1 + max(int(label.max()) for label in labels)
        factors = [
            _factor([s[r == k] for s, r in zip(scores, labels, strict=True)], level, unit)
            for k in range(num_regions)
        ]
        return cls(level, floor, torch.tensor(factors, dtype=torch.float64), unit)

    def apply(self, samples: Ensemble, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the lower and the upper end for new samples, ``(*problems, *image_shape)``.

        Args:
            samples: As many as in the fit: the spread of fewer scatters more.
            region: Labels that broadcast against an image, if the fit had regions; where they
                are negative the interval is NaN.

        Raises:
            ValueError: Regions where the fit had none or the reverse, or labels it didn't see.
        """
        mean, std = moments(samples)
        half_width = self._factor_map(region, std) * (std + self.floor)
        return mean - half_width, mean + half_width

    def _factor_map(self, region: Tensor | None, like: Tensor) -> Tensor:
        factors = self.factors.to(like)
        if region is None:
            if len(factors) > 1:
                raise ValueError(f"region: expected labels of {len(factors)} regions, got none")
            return factors[0]
        known = torch.arange(len(factors), device=like.device)[~factors.isnan()]
        if not bool(((region < 0) | torch.isin(region, known)).all()):
            raise ValueError(f"region: expected labels of {known.tolist()} or negative ones")
        return torch.where(region < 0, torch.nan, factors[region.clamp(min=0).long()])


def _scores(samples: Ensemble, truth: Tensor, floor: float) -> Tensor:
    mean, std = moments(samples)
    error = (magnitude(truth) - mean).abs().double()
    return torch.where(error == 0, 0, error / (std.double() + floor))


def _factor(scores: Sequence[Tensor], level: float, unit: Unit) -> float:
    """Return the smallest factor with few enough scores above; NaN without any score."""
    scores = [s for s in scores if s.numel()]
    if not scores:
        return float("nan")
    # a pooled pixel is an image of one pixel
    counts = [1 if unit == "pixel" else s.numel() for s in scores]
    number = sum(s.numel() for s in scores) if unit == "pixel" else len(scores)
    budget = (number + 1) * (1 - level) - 1 + _ROUNDING
    if budget < 0:
        needed = -int(-(1 / (1 - level) - _ROUNDING) // 1) - 1
        raise ValueError(
            f"level: {level} needs at least {needed} {unit}s of a region, got {number}"
        )
    pooled = torch.cat(scores)
    parts = torch.cat(
        [torch.full_like(s, 1 / count) for s, count in zip(scores, counts, strict=True)]
    )
    factor = _tail_quantile(pooled, parts, budget)
    if factor == float("inf"):
        raise ValueError(
            "samples: too many pixels without any spread have an error; give a positive floor"
        )
    return factor


def _tail_quantile(values: Tensor, weights: Tensor, budget: float) -> float:
    """Return the smallest of the values with at most that much weight above it."""
    ordered, order = values.sort(descending=True)
    above = weights[order].cumsum(0) - weights[order]
    return float(ordered[int((above <= budget).sum()) - 1])
