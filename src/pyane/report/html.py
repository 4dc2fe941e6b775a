"""A report as one HTML file: style and charts inside, nothing fetched, no scripts.

Its policy (Content-Security-Policy) forbids browsers to load or run anything, should escaping ever fail.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from .charts import inline_svg
from .document import BarChart, Block, Bullets, Code, Document, Line, Table, parts, plain
from .text_bars import text_bars

_SHORT = 16  # characters up to which a row's head does not wrap
_LONG = 24  # rows from which a table is folded
_WIDE = 32  # characters from which a cell may wrap


def render_html(document: Document) -> str:
    """The report as a page for phones and desks, light and dark."""
    # Slow to import, and no other format needs them.
    import jinja2  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    source = resources.files(__package__).joinpath("page.html.j2").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    titles: dict[str, int] = {}
    sections = [
        {
            "id": _anchor(section.title, titles),
            "title": section.title,
            "level": section.level,
            "blocks": [(type(b).__name__, _context(b, Markup)) for b in section.blocks],
        }
        for section in document.sections
    ]
    return environment.from_string(source).render(
        title=document.title, lead=[_line(text) for text in document.lead], sections=sections
    )


def _line(line: Line) -> list[tuple[str, bool]]:
    return [(str(part), isinstance(part, Code)) for part in parts(line)]


def _context(block: Block, markup: Any) -> dict[str, Any]:
    """What the template needs of a block."""
    if isinstance(block, BarChart):
        svg = markup(inline_svg(block))
        return {"id": block.id, "svg": svg, "text": text_bars(block)} | {
            "heading": block.heading,
            "note": block.note,
        }
    if isinstance(block, Table):
        return {
            "title": block.title,
            "folded": len(block.rows) > _LONG,
            "head": list(zip(block.header, block.align, strict=True)),
            "body": [
                [
                    {"parts": _line(cell), "style": _style(cell, letter, first=i == 0)}
                    for i, (cell, letter) in enumerate(zip(row, block.align, strict=True))
                ]
                for row in block.rows
            ],
            "notes": [_line(note) for note in block.notes],
        }
    if isinstance(block, Bullets):
        return {"title": block.title, "lines": [_line(item) for item in block.items]}
    return {"text": getattr(block, "text", ""), "line": _line(getattr(block, "line", ""))}


def _style(cell: Line, letter: str, *, first: bool) -> str:
    if first:
        return "short" if len(plain(cell)) < _SHORT else ""
    if letter == "r":
        return "r"
    return "wide" if len(plain(cell)) > _WIDE else ""


def _anchor(title: str, seen: dict[str, int]) -> str:
    anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "section"
    seen[anchor] = seen.get(anchor, 0) + 1
    return anchor if seen[anchor] == 1 else f"{anchor}-{seen[anchor]}"
