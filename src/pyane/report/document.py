"""What a report consists of, before anybody knows whether it becomes Markdown, HTML or PDF.

Strings are plain text: whatever they hold, a renderer shows them and never obeys them. Handles, notes and
names of cases come from files of strangers.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias


class Code(str):
    """Part of a line that is set in a fixed-width font."""

    __slots__ = ()


Line: TypeAlias = "str | tuple[str, ...]"
"""Text without breaks: a string, or parts of it, some of them Code."""


def parts(line: Line) -> tuple[str, ...]:
    """The parts of a line."""
    return (line,) if isinstance(line, str) else line


def plain(line: Line) -> str:
    """A line without its fonts."""
    return "".join(parts(line))


def marked(text: str) -> Line:
    """A line out of text of our own, with code between backticks. Not for text of others."""
    pieces = text.split("`")
    return tuple(Code(p) if i % 2 else p for i, p in enumerate(pieces) if p)


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    line: Line


@dataclasses.dataclass(frozen=True)
class Callout:
    """A paragraph that must not be overlooked."""

    line: Line


@dataclasses.dataclass(frozen=True)
class Bullets:
    """A list; `title` stands above it."""

    items: tuple[Line, ...]
    title: str = ""


@dataclasses.dataclass(frozen=True)
class CodeBlock:
    """Commands, in a fixed-width font."""

    text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        header: Heads of the columns.
        rows: Cells, as many in each row as there are heads.
        align: A letter per column: l or r.
        notes: Sentences below it.
        title: Above it.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Line, ...], ...]
    align: str
    notes: tuple[Line, ...] = ()
    title: str = ""

    def __post_init__(self) -> None:
        widths = {len(self.header), len(self.align), *map(len, self.rows)}
        assert len(widths) == 1, f"table '{self.title}': columns disagree: {sorted(widths)}"


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar of a chart.

    Attributes:
        label: What it stands for.
        low, high: The range; the same for one figure; None when there is no figure.
        text: The figure as in the table, or why there is none.
    """

    label: str
    low: float | None
    high: float | None
    text: str


@dataclasses.dataclass(frozen=True)
class BarChart:
    """Horizontal bars on one axis from 0.

    Attributes:
        id: Short name for files and anchors, letters and dashes.
        title: What is shown.
        unit: Of the axis.
        better: "lower" or "higher".
        bars: From top to bottom.
        ticks: Numbers on the axis, ascending from 0; its end is the last.
        note: A sentence below it.
    """

    id: str
    title: str
    unit: str
    better: str
    bars: tuple[Bar, ...]
    ticks: tuple[float, ...]
    note: str = ""

    @property
    def heading(self) -> str:
        """Title with the direction: "Training (ms/step, lower is better)"."""
        return f"{self.title} ({self.unit}, {self.better} is better)"


Block: TypeAlias = "Paragraph | Callout | Bullets | CodeBlock | Table | BarChart"


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is below it.

    Attributes:
        title: The heading.
        blocks: In order.
        level: 1 for sections of the report, 2 for those inside one.
    """

    title: str
    blocks: tuple[Block, ...]
    level: int = 1


@dataclasses.dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: Headline.
        lead: Paragraphs below it.
        sections: In order.
    """

    title: str
    lead: tuple[Line, ...]
    sections: tuple[Section, ...]

    @property
    def charts(self) -> tuple[BarChart, ...]:
        """All charts, in order."""
        blocks = (block for section in self.sections for block in section.blocks)
        return tuple(block for block in blocks if isinstance(block, BarChart))
