from __future__ import annotations

import math

from pyane.cli.chart import bar, line_chart


def dots(lines: list[str]) -> set[tuple[int, int]]:
    """(column, row) of every dot, decoded from the Unicode table's own numbering of dots 1 to 8."""
    offsets = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
    result = set()
    for y, line in enumerate(lines):
        for x, character in enumerate(line[8:]):
            for i, (dx, dy) in enumerate(offsets):
                if 0x2800 <= ord(character) <= 0x28FF and ord(character) >> i & 1:
                    result.add((2 * x + dx, 4 * y + dy))
    return result


def test_falling_line_is_a_diagonal() -> None:
    # 8 columns and 8 rows of dots; label and space take 8 characters.
    points = [(x, 7.0 - x) for x in range(8)]
    assert dots(line_chart(points, 12, 2, x_max=7)) == {(i, i) for i in range(8)}


def test_range_is_labelled() -> None:
    lines = line_chart([(0, 6.25), (1, 1.5)], 20, 3, x_max=1)
    assert [line[:8] for line in lines] == ["  6.250 ", "        ", "  1.500 "]


def test_jumps_and_gaps_are_connected() -> None:
    columns = {x for x, _ in dots(line_chart([(0, 1.0), (9, 0.0)], 13, 2, x_max=9))}
    assert columns == set(range(10))
    rows = {y for _, y in dots(line_chart([(0, 1.0), (0.2, 1.0), (1, 0.0)], 9, 4, x_max=1))}
    assert rows == set(range(16))


def test_points_of_one_column_are_averaged() -> None:
    points = [(0, 4.0), (0, 2.0), (1, 0.0)]
    assert line_chart(points, 9, 2, x_max=1)[0].startswith("  3.000")


def test_nothing_to_show() -> None:
    assert line_chart([], 40, 3, x_max=10) == ["", "", ""]
    assert line_chart([(1, math.nan), (2, math.inf)], 40, 2, x_max=10) == ["", ""]


def test_constant_curve_and_tiny_screen() -> None:
    assert dots(line_chart([(0, 2.0), (9, 2.0)], 13, 1, x_max=9)) == {(x, 3) for x in range(10)}
    assert len(line_chart([(0, 1.0), (5, 2.0)], 1, 1, x_max=5)) == 1


def test_bar() -> None:
    assert [bar(f, 4) for f in (0, 0.25, 0.5, 1, 1.5, -1)] == ["", "█", "██", "████", "████", ""]
    assert bar(1 / 8, 1) == "▏"
    assert bar(3 / 16, 4) == "▊"
