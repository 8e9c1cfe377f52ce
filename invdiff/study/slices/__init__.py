"""What a prior is trained on: slices read from files, and those that are kept from it."""

from invdiff.study.slices.parts import grey_levels, spread_rows, varied_parts
from invdiff.study.slices.source import SliceSource
from invdiff.study.slices.split import Split, SplitConfig

__all__ = [
    "SliceSource",
    "Split",
    "SplitConfig",
    "grey_levels",
    "spread_rows",
    "varied_parts",
]
