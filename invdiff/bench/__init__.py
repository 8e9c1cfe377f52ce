"""Speed beside other packages: same inputs, same run, medians."""

from invdiff.bench.cases import CASES
from invdiff.bench.contender import Contender, dot_error
from invdiff.bench.machine import Machine
from invdiff.bench.runner import Row, bench_operators
from invdiff.bench.sampler_cases import SAMPLER_CASES
from invdiff.bench.sampler_contenders import CONTENDERS
from invdiff.bench.sampler_runner import SamplerRow, bench_samplers
from invdiff.bench.stopwatch import TimedDenoiser
from invdiff.bench.table import as_json, as_markdown, samplers_as_markdown

__all__ = [
    "CASES",
    "CONTENDERS",
    "SAMPLER_CASES",
    "Contender",
    "Machine",
    "Row",
    "SamplerRow",
    "TimedDenoiser",
    "as_json",
    "as_markdown",
    "bench_operators",
    "bench_samplers",
    "dot_error",
    "samplers_as_markdown",
]
