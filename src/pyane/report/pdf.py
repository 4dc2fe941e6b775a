"""A report as PDF pages, by reportlab."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape

import matplotlib

from .charts import picture
from .document import (
    BarChart,
    Block,
    Bullets,
    Callout,
    Code,
    CodeBlock,
    Document,
    Line,
    Paragraph,
    Table,
    parts,
    plain,
)

_MARGIN: Final = 42.0  # points
_CHART_WIDTH: Final = 300.0
_CELL_PADDING: Final = 4.0
_NARROWEST: Final = 26.0
_TEXT, _QUIET, _LINE, _PANEL = "#1b1f24", "#59636e", "#d8dee4", "#f6f8fa"
# matplotlib brings them; they know more letters than a PDF viewer's own.
_FONTS: Final = {
    "pyane": "DejaVuSans.ttf",
    "pyane-bold": "DejaVuSans-Bold.ttf",
    "pyane-mono": "DejaVuSansMono.ttf",
}


def render_pdf(document: Document) -> bytes:
    """The report as a PDF, the same bytes for the same report."""
    # Slow to import, and no other format needs it.
    from reportlab.lib.pagesizes import A4  # noqa: PLC0415
    from reportlab.platypus import SimpleDocTemplate  # noqa: PLC0415

    _register_fonts()
    file = io.BytesIO()
    template = SimpleDocTemplate(
        file,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 10,
        title=document.title,
        author="pyane",
        lang="en",
        invariant=1,
    )
    styles = _styles()
    story: list[Any] = [_paragraph(document.title, styles["title"])]
    story += [_paragraph(text, styles["quiet"]) for text in document.lead]
    for section in document.sections:
        flowables = [_paragraph(section.title, styles[f"h{section.level}"])]
        for block in section.blocks:
            flowables += _block(block, styles, template.width)
        story += _with_heading(flowables)
    template.build(story, onFirstPage=_footer, onLaterPages=_footer)
    return file.getvalue()


def _register_fonts() -> None:
    from reportlab.pdfbase import pdfmetrics, ttfonts  # noqa: PLC0415

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name, file in _FONTS.items():
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(ttfonts.TTFont(name, str(folder / file)))


def _styles() -> dict[str, Any]:
    from reportlab.lib.styles import ParagraphStyle  # noqa: PLC0415

    body = ParagraphStyle(
        "body", fontName="pyane", fontSize=9, leading=12.5, spaceAfter=5, textColor=_TEXT
    )

    def style(name: str, **changes: Any) -> Any:
        return ParagraphStyle(name, parent=body, **changes)

    bold = {"fontName": "pyane-bold"}
    cell = {"fontSize": 7.5, "leading": 9.5, "spaceAfter": 0}
    return {
        "body": body,
        "title": style("title", fontSize=17, leading=21, spaceAfter=8, **bold),
        "h1": style("h1", fontSize=12.5, leading=16, spaceBefore=14, spaceAfter=6, **bold),
        "h2": style("h2", fontSize=10.5, leading=14, spaceBefore=10, spaceAfter=4, **bold),
        "h3": style("h3", spaceBefore=6, spaceAfter=3, **bold),
        "quiet": style("quiet", textColor=_QUIET),
        "note": style("note", fontSize=7.5, leading=10, textColor=_QUIET),
        "warning": style(
            "warning",
            fontName="pyane-bold",
            textColor="#7a4d00",
            backColor="#fff6df",
            borderColor="#e0b252",
            borderWidth=0.6,
            borderPadding=6,
            spaceBefore=8,
            spaceAfter=12,
        ),
        "bullet": style("bullet", leftIndent=12, bulletIndent=2, spaceAfter=3),
        "code": style(
            "code",
            fontName="pyane-mono",
            fontSize=8,
            leading=11,
            backColor=_PANEL,
            borderPadding=5,
            spaceBefore=6,
            spaceAfter=10,
        ),
        "l": style("l", **cell),
        "r": style("r", alignment=2, **cell),
        "first": style("first", **cell, **bold),
        "head-l": style("head-l", **{**cell, "textColor": _QUIET}, **bold),
        "head-r": style("head-r", alignment=2, **{**cell, "textColor": _QUIET}, **bold),
    }


def _footer(canvas: Any, template: Any) -> None:
    canvas.saveState()
    canvas.setFont("pyane", 7)
    canvas.setFillColor(_QUIET)
    canvas.drawString(_MARGIN, 26, "Made by pyane. Not affiliated with Apple.")
    canvas.drawRightString(template.pagesize[0] - _MARGIN, 26, str(canvas.getPageNumber()))
    canvas.restoreState()


def _with_heading(flowables: list[Any]) -> list[Any]:
    """A heading stays with what follows it."""
    from reportlab.platypus import CondPageBreak  # noqa: PLC0415

    return [CondPageBreak(110), *flowables]


def _markup(line: Line) -> str:
    """A line in the markup of reportlab, with whatever looks like it escaped."""
    shown = []
    for part in parts(line):
        text = escape("".join(c if c.isprintable() else " " for c in part))
        is_code = isinstance(part, Code)
        shown.append(f'<font face="pyane-mono">{text}</font>' if is_code else text)
    return "".join(shown)


def _paragraph(line: Line, style: Any, **options: Any) -> Any:
    from reportlab.platypus import Paragraph as Flowable  # noqa: PLC0415

    return Flowable(_markup(line), style, **options)


def _block(block: Block, styles: dict[str, Any], width: float) -> list[Any]:
    from reportlab.platypus import KeepTogether, Spacer  # noqa: PLC0415

    if isinstance(block, Paragraph):
        return [_paragraph(block.line, styles["body"])]
    if isinstance(block, Callout):
        return [_paragraph(block.line, styles["warning"])]
    if isinstance(block, Bullets):
        items = [_paragraph(item, styles["bullet"], bulletText="•") for item in block.items]
        if not block.title or not items:
            return items
        return [KeepTogether([_paragraph(block.title, styles["h3"]), items[0]]), *items[1:]]
    if isinstance(block, CodeBlock):
        from reportlab.platypus import XPreformatted  # noqa: PLC0415

        return [XPreformatted(escape(block.text), styles["code"])]
    if isinstance(block, BarChart):
        notes = [_paragraph(block.note, styles["note"])] if block.note else []
        heading = _paragraph(block.heading, styles["h3"])
        return [KeepTogether([heading, _chart(block), *notes, Spacer(0, 8)])]
    return _table(block, styles, width)


def _chart(chart: BarChart) -> Any:
    from reportlab.lib.utils import ImageReader  # noqa: PLC0415
    from reportlab.platypus import Image  # noqa: PLC0415

    png = picture(chart, "png", title=False)
    n_x, n_y = ImageReader(io.BytesIO(png)).getSize()
    return Image(io.BytesIO(png), _CHART_WIDTH, _CHART_WIDTH * n_y / n_x, hAlign="LEFT")


def _table(table: Table, styles: dict[str, Any], width: float) -> list[Any]:
    from reportlab.platypus import LongTable, Spacer  # noqa: PLC0415

    head = [
        _paragraph(text, styles[f"head-{letter}"])
        for text, letter in zip(table.header, table.align, strict=True)
    ]
    body = [
        [
            _paragraph(cell, styles["first" if i == 0 else letter])
            for i, (cell, letter) in enumerate(zip(row, table.align, strict=True))
        ]
        for row in table.rows
    ]
    rules: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.9, _LINE),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, _LINE),
        ("LEFTPADDING", (0, 0), (-1, -1), _CELL_PADDING),
        ("RIGHTPADDING", (0, 0), (-1, -1), _CELL_PADDING),
        ("TOPPADDING", (0, 0), (-1, -1), 2.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ]
    shown = LongTable(
        [head, *body],
        colWidths=_column_widths(table, width),
        repeatRows=1,
        hAlign="LEFT",
        style=rules,
        splitInRow=1,
    )
    title = [_paragraph(table.title, styles["h3"])] if table.title else []
    notes = [_paragraph(note, styles["note"]) for note in table.notes]
    return [*title, shown, Spacer(0, 4), *notes]


def _column_widths(table: Table, available: float) -> list[float]:
    """As wide as their text where that fits; else wide columns give up the most."""
    from reportlab.pdfbase.pdfmetrics import stringWidth  # noqa: PLC0415

    columns = zip(table.header, *table.rows, strict=True)
    natural = [
        max(stringWidth(plain(cell), "pyane-bold", 7.6) for cell in column) + 2 * _CELL_PADDING + 1
        for column in columns
    ]
    if sum(natural) <= available:
        return natural
    # The widest columns share what the others leave: the level at which all fit.
    low, high = 0.0, max(natural)
    for _ in range(50):
        level = (low + high) / 2
        if sum(min(width, level) for width in natural) <= available:
            low = level
        else:
            high = level
    return [max(min(width, low), min(_NARROWEST, available / len(natural))) for width in natural]
