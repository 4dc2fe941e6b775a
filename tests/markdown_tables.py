"""Tables, headings and code of Markdown, by a parser that is not ours."""

from __future__ import annotations

import itertools

from markdown_it import MarkdownIt

_CELL = 4  # levels: table, thead or tbody, tr, th or td


def tables(markdown: str) -> list[list[list[str]]]:
    """Rows of cells, the header first, of every table."""
    found: list[list[list[str]]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level == _CELL:
            found[-1][-1].append("".join(c.content for c in token.children or []))
    return found


def headings(markdown: str) -> list[str]:
    """All headings."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [
        "".join(c.content for c in after.children or [])
        for token, after in itertools.pairwise(tokens)
        if token.type == "heading_open"
    ]


def fences(markdown: str, language: str) -> list[str]:
    """Fenced blocks of a language."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [t.content for t in tokens if t.type == "fence" and t.info == language]
