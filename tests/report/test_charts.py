"""Bars: as characters, and as pictures."""

from __future__ import annotations

import io
import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from pyane.report.charts import draw, inline_svg, picture
from pyane.report.document import Bar, BarChart
from pyane.report.text_bars import text_bars
from pyane.report.ticks import nice_ticks

CHART = BarChart(
    "speed",
    "Speed",
    "ms/step",
    "lower",
    (
        Bar("A", 50, 75, "50-75 ms"),
        Bar("Bb", 100, 100, "100 ms"),
        Bar("C", None, None, "FAIL (why)"),
        Bar("D", 0.001, 0.001, "0.001 ms"),
    ),
    (0, 50, 100),
)


DRAWN = """\
Speed (ms/step, lower is better)
════════════════════════════════
A  ██████████▓▓▓▓▓░░░░░ 50-75 ms
Bb ████████████████████ 100 ms
C  FAIL (why)
D  █░░░░░░░░░░░░░░░░░░░ 0.001 ms
   0        50        100"""


def test_text() -> None:
    assert text_bars(CHART, width=20) == DRAWN


def test_text_of_strange_labels() -> None:
    chart = BarChart("x", "t", "u", "higher", (Bar("a\nb" + "c" * 99, 1, 1, "1\x1b[2J"),), (0, 1))
    lines = text_bars(chart, width=10).split("\n")
    assert len(lines) == 4
    assert lines[2].startswith("a b")
    assert "…" in lines[2]
    assert "\x1b" not in lines[2]


@pytest.mark.parametrize("highest", [167, 12.57, 15.04, 1, 0.0031, 7e5, 99.999, 100, 3e-9])
def test_ticks(highest: float) -> None:
    ticks = nice_ticks(highest)
    steps = np.diff(ticks)
    assert ticks[0] == 0
    assert 3 <= len(ticks) <= 7
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)
    assert ticks[-2] < highest <= ticks[-1] * (1 + 1e-9)
    mantissa = steps[0] / 10 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 2.5, 5)) < 1e-6


@pytest.mark.parametrize("highest", [0, -1, math.nan, math.inf])
def test_ticks_of_nothing(highest: float) -> None:
    with pytest.raises(ValueError, match=f"positive and finite, got {highest}"):
        nice_ticks(highest)


def test_bars_are_as_long_as_their_figures() -> None:
    axes = draw(CHART).axes[0]
    found = [
        (b.get_x(), b.get_width(), round(b.get_y() + b.get_height() / 2)) for b in axes.patches
    ]
    assert found == [(0, 50, 0), (50, 25, 0), (0, 100, 1), (0, 0.001, 3)]
    assert [t.get_text() for t in axes.texts] == [bar.text for bar in CHART.bars]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["A", "Bb", "C", "D"]
    low, high = axes.get_ylim()
    assert low > high  # the first on top


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_pictures(kind: str) -> None:
    first = picture(CHART, kind)
    assert first == picture(CHART, kind)
    if kind == "png":
        pixels = matplotlib.image.imread(io.BytesIO(first))
        blue = np.all(np.abs(pixels[..., :3] - np.array([0x0B, 0x65, 0xC2]) / 255) < 0.02, axis=-1)
        rows = blue.sum(axis=1)
        # Bb is twice as long as A's dark part.
        assert {rows.max(), rows.max() // 2, rows.max() // 2 + 1} & set(rows.tolist())
    else:
        assert first.startswith(b"<?xml")


def test_dollars_and_tags_are_shown() -> None:
    label = r"$\frac{1}{2}$ <b>&</b>"
    chart = BarChart("x", label, "u", "lower", (Bar(label, 1, 2, label),), (0, 2))
    svg = inline_svg(chart)
    assert svg.count(r"$\frac{1}{2}$ &lt;b&gt;&amp;&lt;/b&gt;") >= 2
    assert "<b>" not in svg
    assert picture(chart, "png").startswith(b"\x89PNG")


def test_inline_svgs_share_no_ids() -> None:
    other = BarChart(
        "other", *(getattr(CHART, f) for f in ("title", "unit", "better", "bars", "ticks"))
    )
    ids = [{part.split('"')[0] for part in inline_svg(c).split('id="')[1:]} for c in (CHART, other)]
    clips = [{i for i in found if i.startswith("p")} for found in ids]
    assert not {i for i in clips[0] & clips[1] if not i.startswith("patch")}


def test_no_display(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture(BarChart("e", "t", "u", "lower", (), (0, 1)), "png"))
