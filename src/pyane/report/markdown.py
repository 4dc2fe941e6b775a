"""A report as Markdown that GitHub shows."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
)
from .text_bars import text_bars

# What could begin markup inside a line; "_" inside a word cannot, nor "~" before a figure.
_INLINE = re.compile(
    r"[\\`*\[\]<>|$]"
    r"|(?<![^\W_])_|_(?![^\W_])"
    r"|(?<![\s(])(?<!\A)~|~(?!\d)"
    r"|&(?=#?\w+;)"
    r"|:(?=//)|(?<=www)\."  # GitHub makes links of these
)
# What could begin a block at the start of a line.
_START = re.compile(r"\A(\d*)([#+=-]|[.)](?=\s|\Z))")


def render_markdown(document: Document, pictures: Mapping[str, str] | None = None) -> str:
    """The report as text.

    Args:
        document: What to show.
        pictures: For charts with a picture, by id: its path as the text shall name it. The others,
            and these too, appear as bars of characters.
    """
    pictures = pictures or {}
    blocks = [f"# {escaped(document.title, in_cell=True)}", *map(_line, document.lead)]
    for section in document.sections:
        blocks.append(f"{'#' * (section.level + 1)} {escaped(section.title, in_cell=True)}")
        blocks += [_block(block, pictures) for block in section.blocks]
    return "\n\n".join(blocks) + "\n"


def escaped(text: str, *, in_cell: bool = False) -> str:
    """Text that Markdown shows as it is, on one line.

    Args:
        text: Anything.
        in_cell: Inside of a table or a heading, where no block can begin.
    """
    text = _INLINE.sub(r"\\\g<0>", _on_one_line(text).strip())
    return text if in_cell else _START.sub(r"\1\\\2", text)


def _on_one_line(text: str) -> str:
    """Control characters, those that turn the direction of writing included, become spaces."""
    return "".join(c if c.isprintable() else " " for c in text)


def _line(line: Line, *, in_cell: bool = False) -> str:
    shown = []
    for i, part in enumerate(parts(line)):
        if isinstance(part, Code):
            shown.append(_code(part))
        else:  # spaces between parts stay
            text = escaped(part, in_cell=in_cell or i > 0)
            shown.append(" " * (i > 0 and part[:1] == " ") + text + " " * (part[-1:] == " "))
    return "".join(shown).strip()


def _code(text: str) -> str:
    text = _on_one_line(text)
    # More backticks around than there are inside; a pipe would end a table's cell.
    ticks = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text.strip() else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _block(block: Block, pictures: Mapping[str, str]) -> str:
    if isinstance(block, Paragraph):
        return _line(block.line)
    if isinstance(block, Callout):
        return f"> **{_line(block.line)}**"
    if isinstance(block, Bullets):
        items = "\n".join(f"- {_line(item)}" for item in block.items)
        return f"**{escaped(block.title, in_cell=True)}**\n\n{items}" if block.title else items
    if isinstance(block, CodeBlock):
        return _fenced(block.text, "sh")
    if isinstance(block, BarChart):
        return _chart(block, pictures)
    return _table(block)


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _chart(chart: BarChart, pictures: Mapping[str, str]) -> str:
    blocks = [_fenced(text_bars(chart), "text")]
    if chart.id in pictures:
        blocks.insert(0, f"![{escaped(chart.heading, in_cell=True)}](<{pictures[chart.id]}>)")
    if chart.note:
        blocks.append(escaped(chart.note))
    return "\n\n".join(blocks)


def _table(table: Table) -> str:
    rules = {"l": "---", "r": "---:"}
    lines = [[escaped(head, in_cell=True) for head in table.header]]
    lines += [[rules[letter] for letter in table.align]]
    lines += [[_cell(cell) for cell in row] for row in table.rows]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    if table.title:
        text = f"**{escaped(table.title, in_cell=True)}**\n\n{text}"
    return "\n\n".join([text, *map(_line, table.notes)])


def _cell(cell: Line) -> str:
    # GitHub splits rows at pipes before it looks for code.
    escaped_parts = tuple(
        Code(part.replace("|", "\\|")) if isinstance(part, Code) else part for part in parts(cell)
    )
    return _line(escaped_parts, in_cell=True)
