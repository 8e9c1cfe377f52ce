"""Pages that open without a network: pictures inlined, templates filled in."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["inlined", "render"]

_DPI = 130


def render(path: Path, template: str, **values: Any) -> Path:
    """Fill in one of the templates, ``report`` or ``study``, and write the page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("invdiff.study"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    html = environment.get_template(f"{template}.html.jinja").render(**values)
    path.write_text(html, encoding="utf-8")
    return path


def inlined(figure: Figure, path: Path) -> str:
    """Write a figure as PNG, and return it as the base64 text of a data URL."""
    buffer = BytesIO()
    # without the version of matplotlib the same figure is the same file
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    path.write_bytes(buffer.getvalue())
    return base64.b64encode(buffer.getvalue()).decode()
