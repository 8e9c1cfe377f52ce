"""The rows as a table for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from invdiff.bench.machine import Machine
from invdiff.bench.runner import Row
from invdiff.bench.sampler_runner import SamplerRow

__all__ = ["as_json", "as_markdown", "samplers_as_markdown"]

_PACKAGES = (
    "invdiff",
    "torch",
    "numpy",
    "scipy",
    "astra-toolbox",
    "deepinv",
    "sigpy",
    "finufft",
    "torchkbnufft",
)
_HEADER = (
    "| case | package | forward (ms) | adjoint (ms) | limit (ms) | share of limit | dot test |"
)

_SAMPLER_HEADER = (
    "| case | sampler | step (ms) | its network (ms) | step / network | step, no network (ms) |"
)


def as_markdown(rows: Sequence[Row]) -> str:
    """Return a table, times in milliseconds an image."""
    lines = [_HEADER, "|---|---|---:|---:|---:|---:|---:|"]
    shown = ""
    for row in rows:
        title = row.title if row.title != shown else ""
        shown = row.title
        lines.append(f"| {title} | {row.contender} | {_cells(row)} |")
    return "\n".join(lines)


def _cells(row: Row) -> str:
    if row.forward_ms is None or row.adjoint_ms is None or row.limit_ms is None:
        return f"{row.remark} | | | |"
    share = row.limit_ms / max(row.forward_ms, row.adjoint_ms)
    return (
        f"{row.forward_ms:.3g} | {row.adjoint_ms:.3g} | {row.limit_ms:.2g} | {share:.0%} | "
        f"{row.dot_error:.0e}"
    )


def samplers_as_markdown(rows: Sequence[SamplerRow]) -> str:
    """Return a table, times in milliseconds a step of the whole batch."""
    lines = [_SAMPLER_HEADER, "|---|---|---:|---:|---:|---:|"]
    shown = ""
    for row in rows:
        title = row.title if row.title != shown else ""
        shown = row.title
        lines.append(f"| {title} | {row.contender} | {_sampler_cells(row)} |")
    return "\n".join(lines)


def _sampler_cells(row: SamplerRow) -> str:
    if row.step_ms is None:
        return f"{row.remark} | | |"
    return f"{row.step_ms:.3g} | {row.network_ms:.3g} | {row.overhead:.3f} | {row.empty_ms:.3g}"


def as_json(rows: Sequence[Row | SamplerRow], machine: Machine) -> str:
    """Return machine, date, versions and rows."""
    content = {
        "machine": asdict(machine),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "rows": [asdict(row) for row in rows],
    }
    return json.dumps(content, indent=1)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
