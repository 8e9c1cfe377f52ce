"""Pages of the theory chapter, written anew from its facts whenever the site is built."""

from pathlib import Path

import matplotlib
from sphinx.application import Sphinx

from invdiff.study.theory_report import drawn, numbers
from invdiff.theory.chapter import SECTIONS, Section, Verdict, verify

FOLDER = Path(__file__).parent / "chapter"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", lambda *_: write_pages())
    return {"parallel_read_safe": True}


def write_pages() -> None:
    """Check every fact, and write a page for each section; a fact that fails stops the build."""
    matplotlib.use("agg")
    FOLDER.mkdir(exist_ok=True)
    for section in SECTIONS:
        verdicts = [verify(fact) for fact in section.facts]
        failed = [verdict.fact.key for verdict in verdicts if not verdict.holds]
        if failed:
            raise RuntimeError(f"facts that do not hold: {', '.join(failed)}")
        _write(FOLDER / f"{section.key}.md", _page(section, verdicts))


def _page(section: Section, verdicts: list[Verdict]) -> str:
    command = f"```shell\ninvdiff theory {section.key}\n```"
    facts = "\n\n".join(_fact(verdict) for verdict in verdicts)
    return f"# {section.title}\n\n{section.text}\n\n{command}\n\n{facts}\n"


def _fact(verdict: Verdict) -> str:
    fact, figure = verdict.fact, drawn(verdict)
    assert figure is not None
    figure.savefig(FOLDER / f"{fact.key}.png", dpi=110, metadata={"Software": None})
    cited = ",".join(fact.source)
    return (
        f"## {fact.key}\n\n{fact.claim} {{cite:p}}`{cited}`\n\n$$\n{fact.equation}\n$$\n\n"
        f"`{numbers(verdict)}`\n\n![{fact.key}]({fact.key}.png)"
    )


def _write(path: Path, text: str) -> None:
    # a page that is the same is not read again
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
