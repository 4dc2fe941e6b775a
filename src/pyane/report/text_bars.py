"""Bar charts out of characters, as the community's report has them."""

from __future__ import annotations

from collections.abc import Sequence

from .document import BarChart

_WIDTH = 44
_LONGEST_LABEL = 48


def text_bars(chart: BarChart, width: int = _WIDTH) -> str:
    """A chart as lines: full blocks up to a figure, grey ones for its range, light ones to the end.

    Args:
        chart: What to draw.
        width: Characters of the axis.
    """
    labels = [_one_line(bar.label) for bar in chart.bars]
    indent = max((len(label) for label in labels), default=0) + 1
    end = chart.ticks[-1]
    lines = [
        chart.heading,
        "═" * (indent + width + 1 + max(map(_figure_width, chart.bars), default=0)),
    ]
    for bar, label in zip(chart.bars, labels, strict=True):
        text = _one_line(bar.text, 60)
        if bar.low is None or bar.high is None:
            lines.append(f"{label:<{indent}}{text}")
            continue
        full, ranged = _cells(bar.low, end, width), _cells(bar.high, end, width)
        # What is measured shows, however little it is.
        full = max(full, 1)
        ranged = max(ranged, full)
        drawn = "█" * full + "▓" * (ranged - full) + "░" * (width - ranged)
        lines.append(f"{label:<{indent}}{drawn} {text}")
    lines.append(" " * indent + _axis(chart.ticks, width))
    return "\n".join(line.rstrip() for line in lines)


def _figure_width(bar: object) -> int:
    return len(getattr(bar, "text", "")) if getattr(bar, "low", None) is not None else 0


def _cells(value: float, end: float, width: int) -> int:
    return min(width, max(0, round(value / end * width)))


def _axis(ticks: Sequence[float], width: int) -> str:
    line = ""
    for tick in ticks:
        text = f"{tick:g}"
        at = max(round(tick / ticks[-1] * width) - len(text) // 2, 0)
        if line and at <= len(line):
            continue  # no room
        line = line.ljust(at) + text
    return line


def _one_line(text: str, longest: int = _LONGEST_LABEL) -> str:
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"
