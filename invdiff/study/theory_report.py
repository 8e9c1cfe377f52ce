"""What the checks of the theory read, as JSON and as a page with figures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from invdiff.study.base import Config
from invdiff.study.folder import discard_unstarted, finish, prepare
from invdiff.study.page import inlined, render
from invdiff.theory.chapter import Section, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Verdicts", "as_json", "drawn", "new_report", "numbers"]

Verdicts: TypeAlias = Mapping[str, Sequence[Verdict]]
_SIZE = (4.2, 3.0)


class _Chapter(Config):
    """What ``config.yaml`` says of a page of the theory, so that it may be replaced."""

    kind: str = "theory"


def numbers(verdict: Verdict) -> str:
    """Return measured and exact value, tolerance and its reason, in one line."""
    reading = verdict.reading
    if reading is None:
        return f"the check failed: {verdict.error}"
    sides = f"{reading.measured:.6g} {reading.relation} {reading.exact:.6g}"
    return f"{sides}, within {reading.tolerance:.2g}: {reading.reason}"


def as_json(sections: Sequence[Section], verdicts: Verdicts) -> str:
    """Return all that was read, with where it was read."""
    from invdiff.study.provenance import circumstances

    rows = [_row(section, verdict) for section in sections for verdict in verdicts[section.key]]
    content = {
        "facts": rows,
        "count": len(rows),
        "holding": sum(row["holds"] for row in rows),
        "seconds": sum(row["seconds"] for row in rows),
        "provenance": circumstances(0, "cpu"),
    }
    # a value that isn't finite has no form in JSON
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


@contextmanager
def new_report(
    out: Path | None, *, overwrite: bool
) -> Iterator[Callable[[Sequence[Section], Verdicts, str], None]]:
    """Yield a function that fills the page and keeps what ``as_json`` gave.

    The folder gets its name when the block ends.

    Raises:
        ValueError: The folder holds something that may not be replaced.
    """
    if out is None:
        yield lambda sections, verdicts, content: None
        return
    working = prepare(_Chapter(), out, overwrite=overwrite, resume=True)
    try:
        yield partial(_write, working)
    except BaseException:
        discard_unstarted(working)
        raise
    finish(working, out)


def drawn(verdict: Verdict) -> Figure | None:
    """Return the figure of a fact; None if the check failed."""
    from matplotlib.figure import Figure

    if verdict.reading is None:
        return None
    figure = Figure(figsize=_SIZE, layout="constrained")
    verdict.reading.draw(figure.subplots())
    return figure


def _write(folder: Path, sections: Sequence[Section], verdicts: Verdicts, content: str) -> None:
    (folder / "facts.json").write_text(content)
    parts = [
        {"section": s, "facts": [_shown(folder, v) for v in verdicts[s.key]]} for s in sections
    ]
    every = [verdict for part in verdicts.values() for verdict in part]
    holding = sum(verdict.holds for verdict in every)
    render(
        folder / "report.html",
        "theory",
        title="The theory, checked",
        summary=f"{holding} of {len(every)} facts hold",
        parts=parts,
    )


def _shown(folder: Path, verdict: Verdict) -> dict[str, Any]:
    from latex2mathml.converter import convert

    figure = drawn(verdict)
    return {
        "verdict": verdict,
        "equation": convert(verdict.fact.equation, display="block"),
        "numbers": numbers(verdict),
        "data": figure and inlined(figure, folder / f"{verdict.fact.key}.png"),
    }


def _row(section: Section, verdict: Verdict) -> dict[str, Any]:
    fact, reading = verdict.fact, verdict.reading
    row = {
        "section": section.key,
        "key": fact.key,
        "claim": fact.claim,
        "equation": fact.equation,
        "source": list(fact.source),
        "holds": verdict.holds,
        "seconds": verdict.seconds,
    }
    if reading is None:
        return row | {"error": verdict.error}
    return row | {
        "measured": _finite(reading.measured),
        "relation": reading.relation,
        "exact": _finite(reading.exact),
        "tolerance": float(reading.tolerance),
        "reason": reading.reason,
    }


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < float("inf") else None
