"""Findings, with figures worked out by hand."""

from __future__ import annotations

import pytest

from pyane.report import PeakRow, Quantity, SustainedRow, TrainingRow, load
from pyane.report.consistency import agrees, disagreements
from pyane.report.findings import Measurements, findings, reference_peaks


def q(low: float, high: float | None = None, *, about: bool = False) -> Quantity:
    return Quantity(low, low if high is None else high, about)


def row(chip: str, product: str, ms: Quantity, **rest: object) -> TrainingRow:
    return TrainingRow(chip, product, ms, **rest)  # type: ignore[arg-type]


def one(of: Measurements, beginning: str) -> str:
    (found,) = [text for text in findings(of) if text.startswith(beginning)]
    return found


def test_nothing_to_say() -> None:
    assert findings(Measurements()) == ()


def test_fastest() -> None:
    rows = [
        row("m1", "M1", q(200, 240), contributors=("a", "b")),
        row("m4", "M4", q(80, 100), contributors=("c",)),
    ]
    assert one(Measurements(rows), "Fastest") == (
        "Fastest training: M4, 80-100 ms a step (@c). M1, the slowest, takes 2.0-3.0 times as long "
        "(200-240 ms)."
    )
    # Alone it is not compared.
    assert one(Measurements(rows[:1]), "Fastest") == (
        "Fastest training: M1, 200-240 ms a step (@a, @b)."
    )


def test_range_per_chip() -> None:
    rows = [row("m1", "M1", q(100, 110)), row("m2", "M2", q(100, 150)), row("m4", "M4", q(50))]
    assert one(Measurements(rows), "Range") == (
        "Range of a step on one chip, widest first: M2 100-150 ms (50 %), M1 100-110 ms (10 %)."
    )
    assert not [f for f in findings(Measurements(rows[2:])) if f.startswith("Range")]


def test_utilisation() -> None:
    rows = [
        row("m1", "M1", q(100), ane_tflops=q(0.5, 0.6), utilisation_percent=q(5, 6)),
        row("m4", "M4", q(50), ane_tflops=q(1.2), utilisation_percent=q(12)),
    ]
    assert one(Measurements(rows), "Training uses") == (
        "Training uses at most 12 % of the engine's peak (M4), and least on M1, 5-6 %."
    )
    assert one(Measurements(rows), "The utilisation column") == (
        "The utilisation column takes 10 TFLOPS as the peak, whatever the chip; it is the TFLOPS "
        "column in other units."
    )
    own = [rows[0], row("m4", "M4", q(50), ane_tflops=q(1.2), utilisation_percent=q(6.0))]
    assert "takes peaks of 10" in one(Measurements(own), "The utilisation column")


def test_reference_peak_of_the_community() -> None:
    # 0.57 / 3.6 %, 0.88 / 5.6 %, 1.28 / 8.1 %, 1.45 / 9.2 %: all 15.8, M3 Ultra included.
    assert reference_peaks(load().training) == [15.8]


def test_share_of_the_engine() -> None:
    rows = [row("m4", "M4", q(80, 100), ane_ms=q(8, 10)), row("m5", "M5", q(100))]
    assert one(Measurements(rows), "Part of a step") == (
        "Part of a step that the engine works, the CPU having the rest: M4 8-12 %."
    )


def test_compiling() -> None:
    # 2 s for ten steps of 50 ms: 200 ms a step.
    rows = [row("m4", "M4", q(50), compile_seconds_per_10=q(2, about=True))]
    assert one(Measurements(rows), "Compiling") == (
        "Compiling for 10 steps, in times of those steps: M4 ~4.0."
    )


def test_later_chips_that_are_slower() -> None:
    rows = [
        row("m4max", "M4 Max", q(64), ane_ms=q(10)),
        row("m5", "M5", q(96, 128), ane_ms=q(9)),
        row("m5pro", "M5 Pro", q(60)),
    ]
    assert one(Measurements(rows), "M5, the later chip") == (
        "M5, the later chip, takes 1.5-2.0 times as long for a step as M4 Max, though its engine "
        "needs less (9 against 10 ms): what is slower is the rest of the step (87-119 against 54 ms)."
    )
    overlapping = [row("m4", "M4", q(60, 100)), row("m5", "M5", q(90, 110))]
    assert not [f for f in findings(Measurements(overlapping)) if "later chip" in f]
    unknown = [row("", "A", q(1)), row("", "B", q(9))]
    assert not [f for f in findings(Measurements(unknown)) if "later chip" in f]


def peak(chip: str, product: str, tflops: float | None, **rest: object) -> PeakRow:
    status = "ok" if tflops else "failed"
    figure = q(tflops) if tflops else None
    return PeakRow(chip, product, 16, status, figure, **rest)  # type: ignore[arg-type]


def test_peak() -> None:
    rows = [
        peak("m4pro", "M4 Pro", 12.0, rated_tops=40.0),
        peak("m4max", "M4 Max", 10.0),
        peak("m5", "M5", 10.0),
        peak("m5", "M5 (other)", 11.0),
        peak("m1", "M1", None, note="why"),
        peak("m2", "M2", None, note="why"),
        peak("m3", "M3", None),
    ]
    of = Measurements(peak=rows)
    assert one(of, "Peak") == "Peak throughput: 12 TFLOPS on M4 Pro, the highest of 4 figures."
    assert one(of, "Measured, of Apple's").endswith("M4 Pro 30 %.")
    # 19.37 TFLOPS in both profiles.
    assert "M4 Pro 62 % of 19.4, M4 Max 52 % of 19.4" in one(of, "Measured, of the fp16")
    assert one(of, "2 figures of M5") == "2 figures of M5 lie 10 % apart (10-11)."
    assert "12 and 10 TFLOPS are 20 % apart" in one(of, "M4 Pro and M4 Max")
    assert one(of, "No figure") == "No figure in the peak table: M1, M2 (why); M3 (failed)."


def test_spatial() -> None:
    rates = {
        "M3 Pro": {(128, 512, 64): q(10), (128, 512, 2048): q(15), (64, 512, 64): q(7)},
        "M4": {(128, 512, 64): q(10), (128, 512, 512): q(20), (128, 512, 2048): q(18)},
    }
    found = findings(Measurements(rates=rates))
    assert found == (
        (
            "M3 Pro: from spatial 64 to 2048 (128 convolutions of 512 channels) throughput goes from 10 "
            "to 15 TFLOPS, 1.5 times."
        ),
        (
            "M4: from spatial 64 to 2048 (128 convolutions of 512 channels) throughput goes from 10 to "
            "18 TFLOPS, 1.8 times; most at 512, 20."
        ),
    )


def test_sustained() -> None:
    rates = {"M3 Pro": {(128, 512, 2048): q(16.0)}}
    rows = [
        SustainedRow("m3pro", "M3 Pro", q(12), q(75), "rated", 5),
        SustainedRow("m4", "M4", q(14), q(80), "profile", 5),
    ]
    assert findings(Measurements(sustained=rows, rates=rates)) == (
        (
            "M3 Pro sustains 12 TFLOPS over 5 s, 75 % of Apple's rating and 75 % of the highest that was "
            "measured on it (16)."
        ),
        "M4 sustains 14 TFLOPS over 5 s, 80 % of the peak in its profile.",
    )


def test_off_the_engine_nothing_is_compared_with_engines() -> None:
    training = [
        row("m4", "CPU a", q(64), ane_ms=q(60), ane_tflops=q(1.0), utilisation_percent=q(50)),
        row("m5", "CPU b", q(96), ane_ms=q(50), ane_tflops=q(2.0), utilisation_percent=q(25)),
    ]
    peaks = [peak("m4", "CPU a", 0.2), peak("m4", "CPU b", 0.3)]
    rows = [SustainedRow("m4", "CPU a", q(0.1), q(50), "CPU", 5)]
    found = findings(Measurements(training, peaks, rows, {}, is_engine=False))
    text = " ".join(found)
    for word in ("engine", "profile", "Apple", "later chip", "column"):
        assert word not in text
    assert "50 % of its CPU's peak" in text
    assert "the device works" in text


@pytest.mark.parametrize(
    ("claimed", "found", "same"),
    [
        (q(72.5), q(69, 73), True),
        (q(74), q(69, 73), False),
        (q(2), q(1.68), True),
        (q(2), q(1.4), False),
        (q(148, 167), q(143, 167), False),
        (q(12.2, 12.4, about=True), q(12.17, 12.44), True),
        (q(0.6, about=True), q(0.54, 0.65), False),
        (q(95.2), q(95.19), True),
    ],
)
def test_agrees(claimed: Quantity, found: Quantity, same: bool) -> None:
    assert agrees(claimed, found) is same


def test_where_the_report_disagrees_with_itself() -> None:
    assert disagreements(load()) == (
        "Training on M1 chips: 148-167 ms a step in the findings, 143-167 in the table's rows.",
        "Gain of M3 Pro from spatial 64 to 2048: a factor of 2 in the findings, 1.68 by the figures.",
        (
            "M5 is called comparable to M3 Ultra in training; by the table it takes 1.11-1.32 times as "
            "long."
        ),
    )
