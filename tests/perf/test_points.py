"""The published points: all build, their shapes fit their figures, and the halves are as stated."""

from __future__ import annotations

import itertools
import json
from importlib import resources

import pytest

from pyane import chips
from pyane.perf import accuracy, points, predict_program
from pyane.report import community

POINTS = points.load()


def test_halves_alternate_within_each_series() -> None:
    by_series: dict[str, list[bool]] = {}
    for point in POINTS:
        by_series.setdefault(point.series, []).append(point.held_out)
    for halves in by_series.values():
        assert halves == list(itertools.islice(itertools.cycle([False, True]), len(halves)))
    assert [held for _, held in points.training_rows()] == [False, True] * 3
    held = sum(point.held_out for point in POINTS)
    assert 0.45 * len(POINTS) < held < 0.55 * len(POINTS)


def test_ids_are_unique_and_chips_known() -> None:
    assert len({point.id for point in POINTS}) == len(POINTS) == 90
    for point in POINTS:
        assert chips.find(point.chip).name == point.chip
        assert point.source


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.id)
def test_programs_are_what_their_parameters_say(point: points.Point) -> None:
    work, p = point.work, point.program
    if p["kind"] == "conv":
        depth, out, stride = p.get("depth", 1), p.get("out", p["channels"]), p.get("stride", 1)
        trim = p["kernel"] - 1 if p.get("pad") == "valid" else 0
        positions = (p["height"] - trim) * (p["width"] - trim) // stride**2
        flops = 2 * p["channels"] * out * p["kernel"] ** 2 * positions * depth
        if p["height"] > 1:
            assert work.matrix_flops == flops
        else:
            assert work.matrix_flops == 2 * p["channels"] * out * p["width"] * depth
        each = 2 * p["channels"] * out * p["kernel"] ** 2
        assert work.weight_bytes == (each if p.get("shared") else each * depth)
    elif p["kind"] == "matmul":
        assert work.matrix_flops == 2 * p["rows"] * p["inner"] * p["columns"] * p.get("depth", 1)
    elif p["kind"] == "attention":
        heads, positions, head_dim = p["heads"], p["positions"], p["head_dim"]
        assert work.boundary_bytes == 4 * 2 * heads * positions * head_dim
        assert work.matrix_flops >= 4 * heads * positions**2 * head_dim
    assert 1e-6 < point.seconds < 1


def test_figures_that_are_rates_become_the_published_times() -> None:
    """Times that the digest gives beside the rate."""
    by_id = {point.id: point for point in POINTS}
    for name, seconds in {
        "E-29": 2.01e-3,
        "E-30": 0.164e-3,
        "E-31": 0.405e-3,
        "E-32": 2.39e-3,
        "E-39b": 5.4e-3,
    }.items():
        assert by_id[name].seconds == pytest.approx(seconds, rel=0.01)
    # Rates beside times: E-20 to E-25 of the guide, GFLOP/s.
    for name, rate in {
        "E-20": 63,
        "E-21": 267,
        "E-22": 718,
        "E-23": 1102,
        "E-24": 1247,
        "E-25": 1823,
    }.items():
        assert by_id[name].work.matrix_flops / by_id[name].seconds / 1e9 == pytest.approx(
            rate, rel=0.01
        )


def test_peaks_are_those_of_the_report() -> None:
    report = community.load()
    published = [
        (row.chip, row.tflops.middle * 1e3) for row in report.peak if row.tflops is not None
    ]
    mine = [p for p in POINTS if p.series == "report: peak" and p.program["width"] == 64]
    assert [(p.chip, p.figure) for p in mine] == published
    for point in mine:
        assert point.program["depth"] == report.peak_configuration["depth"]
        assert point.program["channels"] == report.peak_configuration["channels"]
        assert point.program["width"] == report.peak_configuration["spatial"]
    (sustained,) = report.sustained
    assert next(p for p in POINTS if p.id == "P-7").figure == sustained.tflops.middle * 1e3


def test_held_out_half_meets_the_target() -> None:
    """Published in docs/performance_model.md: median error under 20 %."""
    held = [judged for judged in accuracy.programs() if judged.held_out]
    assert len(held) >= 40
    assert accuracy.median_error(held) < 0.20
    everything = [j for j in (*held, *accuracy.training(), *accuracy.compiling()) if j.held_out]
    assert accuracy.median_error(everything) < 0.20
    for chip in ("m1max", "m2pro", "m5pro"):
        assert accuracy.median_error([j for j in held if j.chip == chip]) < 0.25


def test_ranges_hold_most_of_what_was_held_out() -> None:
    """Four times out of five, says Prediction; here of the chips whose programs were timed."""
    held = [p for p in POINTS if p.held_out and p.mode != "compile"]
    inside = 0
    for point in held:
        prediction = predict_program(point.work, point.chip, mode=point.mode)  # type: ignore[arg-type]
        inside += prediction.low <= point.seconds <= prediction.high
    assert inside >= 0.7 * len(held)


def test_whole_network() -> None:
    """ResNet-18: 11.69 million parameters and 1.8 G multiply-adds, as torchvision's tables say."""
    (point,) = points.networks()
    weights = sum(w.dense_bytes for w in point.work.weights) / 2
    assert weights == pytest.approx(11.69e6, rel=0.005)  # batch normalisations are folded
    assert point.work.matrix_flops == pytest.approx(2 * 1.814e9, rel=0.005)


def test_what_is_left_out_says_why() -> None:
    left_out = points.excluded()
    assert len(left_out) >= 5
    assert all(what and why for what, why in left_out)
    assert {step.chip for step in points.other_steps()} == {"m4", "m5max", "m3pro"}


def test_distance_from_a_range() -> None:
    judged = accuracy.Judged("", "m1", "", "", 10.0, 8.0, 12.0, 6.0, False, "", "")
    assert judged.error == pytest.approx(-0.4)
    assert judged.outside == pytest.approx(-0.25)
    inside = accuracy.Judged("", "m1", "", "", 10.0, 8.0, 12.0, 11.0, False, "", "")
    assert inside.outside == 0.0


def test_file_states_the_rule() -> None:
    text = resources.files("pyane.perf").joinpath("points.json").read_text("utf-8")
    assert "held out" in json.loads(text)["split"]
