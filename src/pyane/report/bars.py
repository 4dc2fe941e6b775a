"""The charts of the report out of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .document import Bar, BarChart
from .measured import Configuration
from .quantity import Quantity
from .rows import PeakRow, SustainedRow, TrainingRow
from .ticks import nice_ticks

_MAX_BARS = 40


def training_chart(
    rows: Sequence[TrainingRow],
    *,
    device: str = "ANE",
    of: str = "",
    ticks: Sequence[float] = (),
) -> BarChart | None:
    """Milliseconds of a step; None without rows."""
    bars = [_bar(row.product, row.ms_per_step, f"{row.ms_per_step} ms") for row in rows]
    what = f", {of}" if of else ""
    return _chart(
        _name(device, "training", of),
        f"{device} training speed{what}",
        "ms/step",
        "lower",
        bars,
        ticks,
    )


def peak_chart(
    rows: Sequence[PeakRow], *, device: str = "ANE", ticks: Sequence[float] = ()
) -> BarChart | None:
    """Throughput in one configuration; what failed shows, what nobody measured does not."""
    bars = []
    for row in rows:
        if row.tflops:
            bars.append(_bar(row.product, row.tflops, str(row.tflops)))
        elif row.status == "failed":
            bars.append(Bar(row.product, None, None, f"FAIL ({row.note})" if row.note else "FAIL"))
    title = f"Peak {device if device.isupper() else device.lower()} throughput"
    return _chart(_name(device, "peak"), title, "TFLOPS", "higher", bars, ticks)


def sustained_chart(
    rows: Sequence[SustainedRow],
    *,
    device: str = "ANE",
    ticks: Sequence[float] = (),
    note: str = "",
) -> BarChart | None:
    """Throughput over a window of seconds."""
    bars = []
    for row in rows:
        share = f" ({row.percent} %)" if row.percent else ""
        label = f"{row.product} {_spatial(row.configuration)}".strip()
        bars.append(_bar(label, row.tflops, f"{row.tflops}{share}"))
    windows = sorted({row.window_seconds for row in rows})
    window = ", ".join(f"{w:g}s window" for w in windows)
    title = f"{device} sustained throughput"
    return _chart(
        _name(device, "sustained"), title, f"TFLOPS, {window}", "higher", bars, ticks, note
    )


def spatial_chart(
    label: str, rates: Mapping[Configuration, Quantity], number: int, *, device: str = "ANE"
) -> BarChart | None:
    """Throughput by spatial extent at the depth and channels with most extents; None below two.

    Args:
        label: Whose.
        rates: TFLOPS by depth, channels and spatial extent.
        number: Of the chart among those of its kind, for its name.
        device: As in the title.
    """
    sweeps: dict[tuple[int, int], list[tuple[int, Quantity]]] = {}
    for (depth, channels, spatial), tflops in sorted(rates.items()):
        sweeps.setdefault((depth, channels), []).append((spatial, tflops))
    if not sweeps:
        return None
    (depth, channels), sweep = max(sweeps.items(), key=lambda item: len(item[1]))
    if len(sweep) < 2:
        return None
    bars = [_bar(f"sp{spatial}", tflops, str(tflops)) for spatial, tflops in sweep]
    title = f"{device} throughput by spatial extent, {depth}x conv {channels}ch, {label}"
    return _chart(_name(device, f"spatial-{number}"), title, "TFLOPS", "higher", bars, ())


def _spatial(configuration: str) -> str:
    """sp2048 of 128x512_sp2048: the rest does not change."""
    return configuration.rpartition("_")[2]


def _bar(label: str, figure: Quantity, text: str) -> Bar:
    return Bar(label, figure.low, figure.high, text)


def _chart(
    name: str,
    title: str,
    unit: str,
    better: str,
    bars: Sequence[Bar],
    ticks: Sequence[float],
    note: str = "",
) -> BarChart | None:
    highest = max((bar.high or 0.0 for bar in bars), default=0.0)
    if not bars or highest <= 0:
        return None
    if not ticks or ticks[-1] < highest:
        ticks = nice_ticks(highest)
    if len(bars) > _MAX_BARS:
        note = f"{note} Of {len(bars)} bars the first {_MAX_BARS} are shown.".strip()
    return BarChart(name, title, unit, better, tuple(bars[:_MAX_BARS]), tuple(ticks), note)


def _name(device: str, *words: str) -> str:
    """Of a chart, for anchors and files."""
    safe: Iterable[str] = (
        "".join(c if c.isalnum() and c.isascii() else "-" for c in word.lower())
        for word in (device, *words)
        if word
    )
    return "-".join(safe)
