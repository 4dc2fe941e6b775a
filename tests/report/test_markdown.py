"""Markdown reports as a parser of Markdown sees them."""

from __future__ import annotations

import functools

import pytest
from markdown_it import MarkdownIt

from fake_results import HOSTILE, written_by
from markdown_tables import headings, tables
from pyane.report import build
from pyane.report.document import (
    Bullets,
    Callout,
    Code,
    CodeBlock,
    Document,
    Paragraph,
    Section,
    Table,
)
from pyane.report.markdown import escaped, render_markdown

_PLAIN = {"text", "inline", "paragraph_open", "paragraph_close", "code_inline"}


def texts(markdown: str) -> tuple[set[str], str]:
    """Kinds of what is in a text, and what a reader sees of it."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    kinds, shown = set(), []
    for token in parser.parse(markdown):
        kinds.add(token.type)
        for child in token.children or []:
            kinds.add(child.type)
            shown.append(child.content)
    return kinds, "".join(shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text: str) -> None:
    kinds, shown = texts(escaped(text))
    assert kinds <= _PLAIN
    assert shown == text


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("font", [str, Code])
def test_cells_stay_cells(text: str, font: type[str]) -> None:
    table = Table(("a", "b"), ((font(text), "next"), ("-", font(text))), "lr")
    (read,) = tables(render_markdown(Document("t", (), (Section("s", (table,)),))))
    assert read == [["a", "b"], [text, "next"], ["-", text]]


def test_lines_stay_lines() -> None:
    text = escaped("one\n\n# two\r\n\tthree\u2028four\u202ereversed\x00")
    assert "\n" not in text
    assert not set(text) & set("\r\t\u2028\u202e\x00")
    kinds, _ = texts(text)
    assert kinds <= _PLAIN


def test_what_needs_no_escape_has_none() -> None:
    for text in (
        "~3.5s",
        "(~20M tokens)",
        "inmem_peak of 128x512_sp64",
        "M1 Pro (quick), 1e-4 to 3e-4, 95.2 %",
        "15.04 TFLOPS over 5 s",
        "@moriwang",
    ):
        assert escaped(text) == text
    assert escaped("-", in_cell=True) == "-"


def test_blocks() -> None:
    section = Section(
        "Part",
        (
            Paragraph(("plain ", Code("a `b`"), " end")),
            Callout("beware"),
            Bullets(("- one", "two"), "Title"),
            CodeBlock("```\nrm"),
        ),
        level=2,
    )
    text = render_markdown(Document("Title #1", ("lead",), (section,)))
    assert text == (
        "# Title #1\n\nlead\n\n### Part\n\nplain `` a `b` `` end\n\n> **beware**\n\n**Title**\n\n"
        "- \\- one\n- two\n\n````sh\n```\nrm\n````\n"
    )


@functools.cache
def clean_report() -> str:
    return render_markdown(build(written_by("x")))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_report_of_hostile_results(text: str) -> None:
    markdown = render_markdown(build(written_by(text)))
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(markdown)
    inline = [child for token in tokens for child in token.children or []]
    kinds = {t.type for t in tokens} | {t.type for t in inline}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "em_open", "hr"}
    assert text in "\n".join(child.content for child in inline)
    # Every heading and table is the report's own.
    clean = clean_report()
    assert len(headings(markdown)) == len(headings(clean))
    assert [len(table) for table in tables(markdown)] == [len(table) for table in tables(clean)]
