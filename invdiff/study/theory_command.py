"""The ``invdiff theory`` command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from invdiff.study.options import OutFolder

if TYPE_CHECKING:
    from invdiff.theory.chapter import Section, Verdict

__all__ = ["Theory"]


@dataclass(frozen=True)
class Theory:
    """Check the theory, fact by fact: what the package computes beside what is exact.

    The command ends with 1 if a fact is not within its tolerance.

    Args:
        names: Sections or facts; the whole chapter if none is given.
        json: File to write the numbers to.
        out: New folder for a page with a figure of every fact.
        contents: Say what there is, and check nothing.
        overwrite: Replace an earlier file or folder.
    """

    names: Positional[Annotated[tuple[str, ...], arg(metavar="NAME")]] = ()
    json: Annotated[Path | None, arg(metavar="FILE")] = None
    out: OutFolder | None = None
    contents: Annotated[bool, arg(name="list")] = False
    overwrite: bool = False

    def __call__(self) -> None:
        """Check it; exit with 1 if a fact doesn't hold."""
        from invdiff.theory.chapter import SECTIONS, chosen

        sections = chosen(SECTIONS, self.names)
        if self.contents:
            print("\n\n".join(map(_contents, sections)))
            return
        self._check(sections)

    def _check(self, sections: list[Section]) -> None:
        from contextlib import ExitStack

        from invdiff.data.output import new_file
        from invdiff.study.theory_report import as_json, new_report

        if self.json is not None and self.json.exists() and not self.overwrite:
            raise ValueError(f"{self.json}: exists already; --overwrite replaces it")
        with ExitStack() as stack:
            # what can't be written is refused before the work
            report = stack.enter_context(new_report(self.out, overwrite=self.overwrite))
            file = self.json and stack.enter_context(new_file(self.json, overwrite=self.overwrite))
            verdicts = {section.key: _verified(section) for section in sections}
            numbers = as_json(sections, verdicts)
            if file is not None:
                file.write_text(numbers)
            report(sections, verdicts, numbers)
        self._conclude([v for section in verdicts.values() for v in section])

    def _conclude(self, verdicts: list[Verdict]) -> None:
        failed = [verdict.fact.key for verdict in verdicts if not verdict.holds]
        seconds = sum(verdict.seconds for verdict in verdicts)
        print(f"\n{len(verdicts) - len(failed)} of {len(verdicts)} facts hold, {seconds:.0f} s")
        if self.out is not None:
            print(f"report: {(self.out / 'report.html').resolve()}")
        if failed:
            print(f"not within tolerance: {', '.join(failed)}")
            raise SystemExit(1)


def _contents(section: Section) -> str:
    lines = (f"  {fact.key:<34} {fact.claim}" for fact in section.facts)
    return "\n".join([f"{section.key}: {section.title}", *lines])


def _verified(section: Section) -> list[Verdict]:
    from invdiff.theory.chapter import verify

    print(f"\n{section.title}\n")
    verdicts = []
    for fact in section.facts:
        verdict = verify(fact)
        print(_lines(verdict), flush=True)
        verdicts.append(verdict)
    return verdicts


def _lines(verdict: Verdict) -> str:
    from textwrap import fill

    from invdiff.study.theory_report import numbers

    claim = fill(verdict.fact.claim, 96, initial_indent=" " * 7, subsequent_indent=" " * 7)
    mark = "holds" if verdict.holds else "FAILS"
    head = f"{mark}  {verdict.fact.key} ({verdict.seconds:.1f} s)"
    return "\n".join([head, claim, f"       {numbers(verdict)}"])
