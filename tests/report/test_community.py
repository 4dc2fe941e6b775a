"""community.json against a transcription of the report, made by hand from its text."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from pyane.chips import find
from pyane.report import PeakRow, Quantity, SustainedRow, TrainingRow
from pyane.report.community import load

TRAINING = """
M1 Pro     148-163   32-35     7.9-8.5s   0.57-0.63   3.6-4.0   @moriwang
M1 Max     143-167   35-45     ~7.1s      0.54-0.65   3.4-4.1   @andyg5000
M3 Ultra   91        ~10       ~3.7s      0.88        5.6       (repo ref)
M4 Pro     69-73     8.9       ~3.5s      1.28        8.1       @srt54558
M4 Max     64        10.2      ~3.5s      1.45        9.2       @SethBurkart123
M5         101-120   9.1-9.8   3.2-3.4s   0.77-0.91   4.9-5.8   @GitBubble
"""
PEAK = """
M1 Pro       16   FAIL    11              (MIL compat issue)
M1 Max       16   FAIL    11              (MIL compat issue)
M3 Pro       16   9.98    15.8
M3 Ultra     32   -       31.6            (ref platform)
M4 Pro       16   12.57   38
M4 Max       16   10.93   38
M5           16   12.17   not disclosed
M5 (other)   16   12.44   not disclosed
"""
CLAIMED = {  # every figure of the key findings
    "m1-training-speed": {"ms_per_step": "148-167", "ane_tflops": "~0.6"},
    "m3-channels": {"tested": "52", "lowest": "1", "highest": "4096", "accepted": "512"},
    "m3-lanes": {"lanes": "512"},
    "m3-peak": {
        "tflops": "16.77",
        "percent_of_rated": "106",
        "rated_tops": "15.8",
        "depth": "128",
        "channels": "512",
        "spatial": "2048",
    },
    "m3-sustained": {"tflops": "15.04", "seconds": "5", "percent_of_rated": "95.2"},
    "m3-spatial": {"spatial_from": "64", "spatial_to": "2048", "gain": "2"},
    "m4-channels": {
        "channels_a": "256",
        "channels_b": "384",
        "channels_c": "512",
        "channels_d": "768",
    },
    "m4pro-speed": {"tflops": "12.57", "ms_per_step": "72.5"},
    "m4max-speed": {"tflops": "10.93", "ms_per_step": "64"},
    "m5-training-speed": {"ms_per_step": "101-120"},
    "m5-peak": {"tflops": "~12.2-12.4"},
}
COMPATIBILITY = """
program(1.3) / ios18      PARTIAL   YES      YES    YES
Single-blob weights       FAIL      YES      YES    YES
Per-matrix weight blobs   YES       YES      YES    YES
Channel flexibility       ?         ch=512   FLEX   FLEX
BLOBFILE offset refs      FAIL      YES      YES    YES
"""
CONTRIBUTORS = [
    "SethBurkart123",
    "srt54558",
    "andyg5000",
    "moriwang",
    "D-Ogi",
    "GitBubble",
    "elijah-pelton",
]


def cells(table: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in table.strip().splitlines()
    ]


def training_cells(row: TrainingRow) -> list[str]:
    who = [f"@{name}" for name in row.contributors] or [f"({row.note})"]
    figures = [row.ms_per_step, row.ane_ms, row.compile_seconds_per_10, row.ane_tflops]
    shown = [str(q) for q in [*figures, row.utilisation_percent]]
    shown[2] += "s"
    return [row.product, *shown, *who]


def peak_cells(row: PeakRow) -> list[str]:
    measured = {"failed": "FAIL", "missing": "-", "ok": str(row.tflops)}[row.status]
    rated = f"{row.rated_tops:g}" if row.rated_tops is not None else row.rated_note
    note = [f"({row.note})"] if row.note else []
    return [row.product, str(row.ne_cores), measured, rated, *note]


@pytest.mark.parametrize(
    ("table", "shown"),
    [
        (TRAINING, lambda: [training_cells(row) for row in load().training]),
        (PEAK, lambda: [peak_cells(row) for row in load().peak]),
        (COMPATIBILITY, lambda: [[f.name, *f.cells.values()] for f in load().compatibility]),
    ],
    ids=["training", "peak", "compatibility"],
)
def test_tables(table: str, shown: Callable[[], list[list[str]]]) -> None:
    assert shown() == cells(table)


def test_sustained() -> None:
    (row,) = load().sustained
    assert row == SustainedRow(
        "m3pro", "M3 Pro", Quantity(15.04, 15.04), Quantity(95.2, 95.2), "rated", 5
    )


def test_findings_hold_every_figure() -> None:
    claims = [claim for group in load().findings for claim in group.claims]
    shown = {c.id: {k: str(v) for k, v in c.values.items()} for c in claims if c.values}
    assert shown == CLAIMED
    assert [len(group.claims) for group in load().findings] == [4, 5, 4, 5]
    for claim in claims:
        for figure in claim.values.values():
            assert str(figure) in claim.text


def test_model_configuration() -> None:
    model = load().model
    assert (model["name"], model["architecture"]) == ("Stories110M", "Llama2")
    assert model["features"] == ["RoPE", "SwiGLU", "RMSNorm", "GQA-ready"]
    shape = ("layers", "dimension", "hidden", "heads", "vocabulary", "sequence")
    assert [model[name] for name in shape] == [12, 768, 2048, 12, 32000, 256]
    assert model["parameters_millions"] == {
        "total": 109.53,
        "transformer": 84.95,
        "embedding": 24.58,
    }
    assert str(Quantity.of(model["data"]["tokens_millions"])) == "~20"
    assert str(Quantity.of(model["optimizer"]["learning_rate"])) == "1e-4-3e-4"
    assert (model["optimizer"]["beta1"], model["optimizer"]["beta2"]) == (0.9, 0.999)
    kernels = model["kernels_per_step"]
    assert (kernels["total"], kernels["weight_bearing"], kernels["weight_free"]) == (72, 60, 12)
    assert model["forward_kernels"] == ["sdpaFwd", "ffnW13", "ffnW2"]
    assert model["backward_kernels"] == (
        ["ffnBwdW2t", "ffnBwdW13t", "wotBwd", "sdpaBwd1", "sdpaBwd2", "qkvBwd"]
    )


def test_the_rest() -> None:
    report = load()
    assert list(report.contributors) == CONTRIBUTORS
    assert report.compiled == "2026-03-04"
    assert report.pipeline == "static"
    assert report.peak_configuration == {"depth": 128, "channels": 512, "spatial": 64}
    assert "16 cores; Ultra chips are two dies and have 32" in report.peak_notes[1]
    assert report.charts["training"].ticks == (0, 50, 100, 150, 200)
    assert report.charts["peak"].ticks == (0, 3, 6, 9, 12, 15, 18)
    assert report.charts["sustained"].ticks == (0, 3, 6, 9, 12, 15, 18)
    assert [issue.versions for issue in report.platform_issues] == [
        "macOS 26.x",
        "macOS 15.x",
        "M1 generation",
    ]
    assert "PR 27" in report.platform_issues[0].text
    assert report.contribute_commands[1].endswith("256 20 1e-4")


def test_chips_are_known() -> None:
    report = load()
    named = [row.chip for row in (*report.training, *report.peak, *report.sustained)]
    named += [chip for group in report.findings for chip in group.chips]
    for row in report.training:
        assert find(row.chip).product == row.product
    assert {find(name).name for name in named} == set(named)
    for row in report.peak:
        assert find(row.chip).identity["cores"].value == row.ne_cores


def read(name: str) -> Any:
    return json.loads(resources.files("pyane.report").joinpath(name).read_text("utf-8"))


def test_the_file_follows_its_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = read("community.schema.json")
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(read("community.json"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("training", "rows", 0, "ms_per_step"), "148-163"),
        (("training", "rows", 0, "ms_per_step"), {"low": 148}),
        (("training", "rows", 0, "extra"), 1),
        (("training", "rows", 0, "contributor"), "<b>"),
        (("training", "rows", 0, "chip"), "M1 Pro"),
        (("peak", "rows", 0, "tflops"), 3.0),  # it has failed
        (("peak", "rows", 2, "tflops"), None),  # it has not
        (("compatibility", "features", 0, "cells", 0), "MAYBE"),
        (("version",), 2),
    ],
)
def test_the_schema_refuses(path: tuple[str | int, ...], value: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    data = read("community.json")
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, read("community.schema.json"))
