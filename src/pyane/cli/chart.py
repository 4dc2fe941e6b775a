"""Charts out of characters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

# Bits of a braille character's dots (Unicode 2800 block), by row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EIGHTHS = " ▏▎▍▌▋▊▉"


def line_chart(
    points: Sequence[tuple[float, float]], width: int, height: int, x_max: float
) -> list[str]:
    """A curve in braille dots, with its range on the left.

    Args:
        points: (x, y) by ascending x from 0 on; y that are not finite are left out. Where several
            fall on one column of dots, it shows their mean.
        width: Characters of a line.
        height: Lines.
        x_max: x of the right edge.

    Returns:
        `height` lines of at most `width` characters; empty ones when there is nothing to show.
    """
    columns = max(1, width - 8) * 2
    sums = [[0.0, 0] for _ in range(columns)]
    for x, y in points:
        if math.isfinite(y) and x_max > 0:
            column = sums[min(columns - 1, int(x / x_max * (columns - 1)))]
            column[0] += y
            column[1] += 1
    means = {i: total / n for i, (total, n) in enumerate(sums) if n}
    if not means:
        return [""] * height
    low, high = min(means.values()), max(means.values())
    for (a, first), (b, last) in itertools.pairwise(list(means.items())):
        for i in range(a + 1, b):  # a short run has fewer points than the chart has columns
            means[i] = first + (last - first) * (i - a) / (b - a)
    rows = height * 4
    cells = [[0] * (columns // 2) for _ in range(height)]
    previous: int | None = None
    for i, mean in sorted(means.items()):
        row = round((high - mean) / (high - low) * (rows - 1)) if high > low else rows - 1
        # A steep curve stays connected.
        start = row if previous is None else previous + (row > previous) - (row < previous)
        for r in range(min(start, row), max(start, row) + 1):
            cells[r // 4][i // 2] |= _DOTS[r % 4][i % 2]
        previous = row
    labels = {0: f"{high:7.3f}", height - 1: f"{low:7.3f}"}
    return [
        f"{labels.get(i, ''):>7} " + "".join(chr(0x2800 + c) if c else " " for c in line).rstrip()
        for i, line in enumerate(cells)
    ]


def bar(fraction: float, width: int) -> str:
    """A horizontal bar of a fraction of `width` characters, to an eighth of a character."""
    eighths = round(min(1.0, max(0.0, fraction)) * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
