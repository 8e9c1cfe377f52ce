"""What the folder of a prior says about it."""

from __future__ import annotations

from invdiff.study.base import Config

__all__ = ["PriorText"]


class PriorText(Config):
    """What the folder of the prior says about it.

    Args:
        title: Of the prior.
        modality: What it was trained on, such as ``MR``.
        value_range: What the lowest and the highest value of an image stand for.
        value_unit: In which unit.
        licence: Of the weights and of what they were trained on.
    """

    title: str
    modality: str
    value_range: tuple[float, float] = (0.0, 1.0)
    value_unit: str = "99.7th percentile"
    licence: str
