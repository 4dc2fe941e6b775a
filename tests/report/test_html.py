"""HTML reports as a browser's parser sees them."""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser

from fake_results import HOSTILE, peak, result, training, written_by
from markdown_tables import tables as markdown_tables
from pyane.report import build
from pyane.report.document import (
    Bar,
    BarChart,
    Bullets,
    Callout,
    Code,
    CodeBlock,
    Document,
    Paragraph,
    Section,
    Table,
)
from pyane.report.html import render_html
from pyane.report.markdown import render_markdown

_VOID = {"meta", "br", "img", "hr", "input", "link"}


class Page(HTMLParser):
    """Elements, attributes, text and table cells of a page; fails where tags do not pair."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.tables: list[list[list[str]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            return
        self.text.append(data)
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data


@functools.cache
def community() -> str:
    return render_html(build(community=True))


def check_alone(page: Page) -> None:
    """Nothing runs, nothing is fetched."""
    assert not {"script", "iframe", "object", "embed", "link", "form", "base", "img"} & set(
        page.tags
    )
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "xlink:href", "src"):
            assert value.startswith("#"), (tag, value)
            assert value[1:] in ids, value
        if name == "style":
            assert not re.search(r"url\((?!#)", value), value


def test_it_stands_alone() -> None:
    check_alone(Page(community()))
    style = community().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in community()
    # Names of name spaces are no addresses that anybody fetches.
    assert set(re.findall(r"https?://[^\"' <]+", community())) <= {"http://www.w3.org/2000/svg"}


def test_it_holds_what_the_markdown_holds() -> None:
    assert Page(community()).tables == markdown_tables(render_markdown(build(community=True)))


def test_for_phones_and_nights() -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in community()
    assert "prefers-color-scheme: dark" in community()
    # Colours come from the style sheet: charts, too, change with it.
    svg = community().partition("<svg")[2].partition("</svg>")[0]
    assert "var(--bar)" in svg
    assert not re.findall(r"#[0-9a-f]{6}", svg)


def test_charts() -> None:
    page = Page(community())
    labels = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert labels == [
        "ANE training speed (ms/step, lower is better)",
        "Peak ANE throughput (TFLOPS, higher is better)",
        "ANE sustained throughput (TFLOPS, 5s window, higher is better)",
    ]
    for label in ("148-163 ms", "FAIL (MIL compat issue)", "15.04 (95.2 %)"):
        assert label in page.text


EVIL = [*HOSTILE, '" onload="alert(1)', "</title></svg></style>", "]]>", "<!--", "#010101 url(#x)"]


def everything(texts: list[str]) -> Document:
    """Texts in every place that a document has."""
    cells = tuple((text, (text, Code(text))) for text in texts)
    bars = tuple(Bar(text, 1, 2, text) for text in texts)
    blocks = (
        *(Paragraph((text, Code(text))) for text in texts),
        *(Callout(text) for text in texts),
        *(Bullets((text, Code(text)), text) for text in texts),
        *(CodeBlock(text) for text in texts),
        *(Table((text, text), cells, "lr", (text,), text) for text in texts),
        BarChart("evil", texts[0], texts[0], "lower", bars, (0, 2), texts[0]),
    )
    sections = tuple(Section(text, blocks[:1]) for text in texts)
    return Document(texts[0], tuple(texts), (*sections, Section("all", blocks)))


def outside_svg(page: Page) -> list[str]:
    """Charts break long labels into lines; all else has the same elements whatever it says."""
    inside = {"text", "tspan", "g", "path", "use", "defs", "clippath", "rect", "svg", "style"}
    return [tag for tag in page.tags if tag not in inside]


def test_text_stays_text() -> None:
    page, clean = (Page(render_html(everything(texts))) for texts in (EVIL, ["x"] * len(EVIL)))
    check_alone(page)
    shown = "\n".join(page.text)
    for text in EVIL:
        # title, lead, navigation, sections, all blocks
        assert shown.count(text) > 2 * len(EVIL), text
    assert outside_svg(page) == outside_svg(clean)


def test_a_report_of_hostile_results() -> None:
    text = "</td><script>alert('1')</script>{{ 191 * 191 }}"
    page = Page(render_html(build(written_by(text))))
    check_alone(page)
    assert text in "\n".join(page.text)
    assert "36481" not in "".join(page.text)


def test_the_same_bytes_again() -> None:
    again = [
        render_html(
            build(
                [
                    result(training=[training(70)], peak=peak({64: 9})),
                ]
            )
        )
        for _ in "ab"
    ]
    assert again[0] == again[1]
