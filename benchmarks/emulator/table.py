"""Rows as text, Markdown and JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .harness import Figure, Row

TITLES = ("work", "threads", "pyane", "against", "its figure", "ratio (best)", "target", "met")


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def figure(value: Figure | None) -> str:
    if value is None:
        return ""
    if value.unit == "s":
        for unit, scale in (("s", 1.0), ("ms", 1e3)):
            if value.median * scale >= 1:
                return f"{number(value.median * scale)} {unit}"
        return f"{number(value.median * 1e6)} us"
    return f"{number(value.median)} {value.unit}"


def target(row: Row) -> str:
    if row.bound is None:
        return ""
    sign = "at most" if row.at_most else "at least"
    if row.against:
        return f"{sign} {row.bound:g}"
    scale, unit = 1.0, row.pyane.unit if row.pyane else ""
    if unit == "s":
        scale, unit = (1e6, "us") if row.bound < 1e-3 else (1e3, "ms")
    return f"{sign} {row.bound * scale:g} {unit}"


def cells(row: Row) -> tuple[str, ...]:
    ratio = ""
    if row.ratio is not None and row.best_ratio is not None:
        ratio = f"{row.ratio:.2f} ({row.best_ratio:.2f})"
    met = {True: "yes", False: "no", None: ""}[row.is_met]
    return (
        row.work,
        str(row.threads or ""),
        figure(row.pyane) or row.note,
        row.against,
        figure(row.reference),
        ratio,
        target(row),
        met,
    )


def text_line(row: Row) -> str:
    work, n, mine, against, theirs, ratio, bound, met = cells(row)
    line = f"{work:<52} {n:>2}  {mine:>14}"
    if against:
        line += f"  {against}: {theirs}, ratio {ratio}"
    if bound:
        line += f"; target {bound}: {'met' if met == 'yes' else 'not met'}"
    if row.note and row.pyane is not None:
        line += f" ({row.note})"
    return line


def markdown(rows: Iterable[Row]) -> str:
    lines = ["| " + " | ".join(TITLES) + " |", "| " + " | ".join("---" for _ in TITLES) + " |"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines)


def as_json(row: Row) -> dict[str, Any]:
    """Everything, samples included."""
    result = asdict(row)
    for key in ("pyane", "reference"):
        value: Figure | None = getattr(row, key)
        if value is not None:
            result[key] |= {"median": value.median, "best": value.best}
    return result | {"ratio": row.ratio, "best_ratio": row.best_ratio, "is_met": row.is_met}
