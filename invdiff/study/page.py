"""Pages that open without a network: pictures inlined, templates filled in."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["filled", "inlined", "render"]

_DPI = 130


def render(path: Path, template: str, **values: Any) -> Path:
    """Fill in the template of a page, such as ``report`` or ``study``, and write it."""
    path.write_text(filled(f"{template}.html", **values), encoding="utf-8")
    return path


def filled(template: str, **values: Any) -> str:
    """Return a template with its values, such as ``model_card.md``; only pages are escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("invdiff.study"),
        autoescape=template.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(f"{template}.jinja").render(**values)


def inlined(figure: Figure, path: Path) -> str:
    """Write a figure as PNG, and return it as the base64 text of a data URL."""
    buffer = BytesIO()
    # without the version of matplotlib the same figure is the same file
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    path.write_bytes(buffer.getvalue())
    return base64.b64encode(buffer.getvalue()).decode()
