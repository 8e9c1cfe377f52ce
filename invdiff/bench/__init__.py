"""Speed beside other packages: same inputs, same run, medians."""

from invdiff.bench.cases import CASES
from invdiff.bench.contender import Contender, dot_error
from invdiff.bench.machine import Machine
from invdiff.bench.runner import Row, bench_operators
from invdiff.bench.table import as_json, as_markdown

__all__ = [
    "CASES",
    "Contender",
    "Machine",
    "Row",
    "as_json",
    "as_markdown",
    "bench_operators",
    "dot_error",
]
