"""Bar charts as pictures, by matplotlib."""

from __future__ import annotations

import dataclasses
import io
import re
import textwrap
from typing import Final
from xml.etree import ElementTree

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from .document import BarChart

_WIDTH_INCHES: Final = 4.4  # 9-point text stays readable when a phone shows it 350 pixels wide
_BAR_INCHES: Final = 0.3
_LABEL_WIDTH: Final = 24  # characters
_SVG: Final = "http://www.w3.org/2000/svg"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_URL: Final = re.compile(r"url\(#([^)]*)\)")
_HEADING_WIDTH: Final = 58  # characters


@dataclasses.dataclass(frozen=True)
class Palette:
    """Colours of a chart."""

    text: str
    quiet: str
    bar: str
    bar_range: str
    grid: str
    background: str


PRINT: Final = Palette("#1b1f24", "#59636e", "#0b65c2", "#8fc0f2", "#d8dee4", "#ffffff")
# Colours that no chart would have, to be replaced by variables of the page's style sheet.
_PAGE: Final = Palette("#010101", "#020202", "#030303", "#040404", "#050505", "none")
_VARIABLES: Final = {
    _PAGE.text: "var(--text)",
    _PAGE.quiet: "var(--quiet)",
    _PAGE.bar: "var(--bar)",
    _PAGE.bar_range: "var(--bar-range)",
    _PAGE.grid: "var(--line)",
}


def draw(chart: BarChart, palette: Palette = PRINT, *, title: bool = True) -> Figure:
    """The chart as a figure.

    A bar reaches to the lower end of its range, a lighter one to the upper end. Text appears as it
    is, dollar signs included.

    Args:
        chart: What to draw.
        palette: Colours.
        title: Whether the heading stands above it.
    """
    n = max(len(chart.bars), 1)
    # Not pyplot: it keeps global state and may want a display.
    lines = len(textwrap.wrap(chart.heading, _HEADING_WIDTH)) if title else 0
    height = _BAR_INCHES * (n + 0.2) + 0.16 * lines + 0.35
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.set_facecolor(palette.background)
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    end = chart.ticks[-1]
    for y, bar in enumerate(chart.bars):
        if bar.low is None or bar.high is None:
            axes.text(
                end * 0.01,
                y,
                _printable(bar.text),
                va="center",
                size=9,
                style="italic",
                color=palette.quiet,
                parse_math=False,
            )
            continue
        axes.barh(y, bar.low, height=0.62, color=palette.bar)
        if bar.high > bar.low:
            axes.barh(y, bar.high - bar.low, left=bar.low, height=0.62, color=palette.bar_range)
        axes.text(
            bar.high + end * 0.012,
            y,
            _printable(bar.text),
            va="center",
            size=9,
            color=palette.text,
            parse_math=False,
        )
    # Room for the figure beside the longest bar.
    reach = [
        (bar.high or 0.0) / end + 0.018 * len(bar.text)
        for bar in chart.bars
        if bar.high is not None
    ]
    axes.set_xlim(0, end * max([1.0, *reach]))
    axes.set_ylim(n - 0.4, -0.6)
    axes.set_xticks(chart.ticks, [f"{tick:g}" for tick in chart.ticks], size=8, color=palette.quiet)
    axes.set_yticks(range(len(chart.bars)))
    axes.set_yticklabels(
        [_label(bar.label) for bar in chart.bars], size=8.5, color=palette.text, parse_math=False
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(length=0)
    axes.grid(axis="x", color=palette.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        heading = "\n".join(textwrap.wrap(_printable(chart.heading), _HEADING_WIDTH))
        shown = axes.set_title(heading, size=9, color=palette.text, loc="left")
        shown.set_parse_math(False)
    return figure


def picture(chart: BarChart, kind: str, *, title: bool = True) -> bytes:
    """The chart as a file of its own, on white; the same bytes for the same chart.

    Args:
        chart: What to draw.
        kind: "png" or "svg".
        title: Whether the heading stands above it.
    """
    file = io.BytesIO()
    # Nothing that differs from one writing to the next, and ids of its own for each chart.
    metadata = {"png": {"Software": None}, "svg": {"Date": None}}
    with matplotlib.rc_context({"svg.hashsalt": f"pyane-{chart.id}", "svg.fonttype": "none"}):
        draw(chart, title=title).savefig(file, format=kind, dpi=200, metadata=metadata[kind])
    return file.getvalue()


def inline_svg(chart: BarChart) -> str:
    """The chart as an <svg> element for a page, in the colours of its style sheet.

    The page defines the variables --text, --quiet, --bar, --bar-range and --line, and how wide the
    chart is. Its ids begin with the chart's, so that a page can hold many.
    """
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": f"pyane-{chart.id}", "svg.fonttype": "none"}):
        draw(chart, _PAGE, title=False).savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for size in ("width", "height"):  # The view box keeps the proportions.
        del root.attrib[size]
    root.set("role", "img")
    root.set("aria-label", _printable(chart.heading))
    used = {value[1:] for e in root.iter() if (value := e.get(_HREF, "")).startswith("#")}
    used |= {name for e in root.iter() for v in e.attrib.values() for name in _URL.findall(v)}
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id":
                del element.attrib[name]
                if value in used:
                    element.set("id", f"{chart.id}-{value}")
            elif name == _HREF:
                del element.attrib[name]
                element.set("href", f"#{chart.id}-{value[1:]}")
            elif name != "aria-label":
                element.set(name, _styled(_URL.sub(rf"url(#{chart.id}-\1)", value)))
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _styled(attribute: str) -> str:
    for colour, variable in _VARIABLES.items():
        attribute = attribute.replace(colour, variable)
    return attribute.replace("'DejaVu Sans'", "system-ui")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _label(text: str) -> str:
    """On two lines at most."""
    lines = textwrap.wrap(_printable(text), _LABEL_WIDTH, max_lines=2, placeholder="…")
    return "\n".join(lines)
