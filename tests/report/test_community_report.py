"""`pyane report --community` against the tables of the report, transcribed by hand from its text."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from fake_results import peak, result, training
from markdown_tables import fences, headings, tables
from pyane.perf import predict_training
from pyane.report import build, load
from pyane.report.markdown import render_markdown

MODEL = """
Parameter       Value
Architecture    Llama2 (RoPE, SwiGLU, RMSNorm, GQA-ready)
Layers          12
Dimension       768
Hidden (FFN)    2048
Heads           12
Vocab           32000 (Llama 2 BPE)
Sequence        256
Total params    109.53M (84.95M transformer + 24.58M embedding)
Training data   TinyStories (~20M tokens, pretokenized)
Optimizer       Adam (lr=1e-4 to 3e-4, b1=0.9, b2=0.999)
Precision       FP16 on ANE, FP32 on CPU
"""
TRAINING = """
Chip       ms/step   ANE ms    Compile/10   ANE TFLOPS   Util%     Contributor
M1 Pro     148-163   32-35     7.9-8.5s     0.57-0.63    3.6-4.0   @moriwang
M1 Max     143-167   35-45     ~7.1s        0.54-0.65    3.4-4.1   @andyg5000
M3 Ultra*  91        ~10       ~3.7s        0.88         5.6       (repo ref)
M4 Pro     69-73     8.9       ~3.5s        1.28         8.1       @srt54558
M4 Max     64        10.2      ~3.5s        1.45         9.2       @SethBurkart123
M5         101-120   9.1-9.8   3.2-3.4s     0.77-0.91    4.9-5.8   @GitBubble
"""
PEAK = """
Chip         NE Cores   FP16 TFLOPS (measured)   Rated TOPS (Apple spec)   Note
M1 Pro       16         FAIL                     11                        (MIL compat issue)
M1 Max       16         FAIL                     11                        (MIL compat issue)
M3 Pro       16         9.98                     15.8                      .
M3 Ultra     32         -                        31.6                      (ref platform)
M4 Pro       16         12.57                    38                        .
M4 Max       16         10.93                    38                        .
M5           16         12.17                    not disclosed             .
M5 (other)   16         12.44                    not disclosed             .
"""
CONFIGURATIONS = """
Configuration            M3 Pro   M4 Pro   M4 Max   M5      M5 (other)
128x conv 512ch sp64     9.98     12.57    10.93    12.17   12.44
128x conv 512ch sp2048   16.77    -        -        -       -
"""
SUSTAINED = """
Chip     Configuration   TFLOPS   Share             Window   Contributor
M3 Pro   -               15.04    95.2 % of rated   5 s      .
"""
# The profiles know M2, too, and that M1 takes no channel count where the community has "?".
COMPATIBILITY = """
Feature                   M1        M2        M3       M4     M5
program(1.3) / ios18      PARTIAL   PARTIAL   YES      YES    YES
Single-blob weights       FAIL      FAIL      YES      YES    YES
Per-matrix weight blobs   YES       YES       YES      YES    YES
Channel flexibility       none      none      ch=512   FLEX   FLEX
BLOBFILE offset refs      FAIL      FAIL      YES      YES    YES
"""
TABLES = [MODEL, TRAINING, PEAK, CONFIGURATIONS, SUSTAINED, COMPATIBILITY]

BARS = {  # label and figure of each bar; "M5 (other)" is in no chart of the report
    "ANE training speed (ms/step, lower is better)": {
        "M1 Pro": "148-163 ms",
        "M1 Max": "143-167 ms",
        "M3 Ultra": "91 ms",
        "M4 Pro": "69-73 ms",
        "M4 Max": "64 ms",
        "M5": "101-120 ms",
    },
    "Peak ANE throughput (TFLOPS, higher is better)": {
        "M1 Pro": "FAIL (MIL compat issue)",
        "M1 Max": "FAIL (MIL compat issue)",
        "M3 Pro": "9.98",
        "M4 Pro": "12.57",
        "M4 Max": "10.93",
        "M5": "12.17",
        "M5 (other)": "12.44",
    },
    "ANE sustained throughput (TFLOPS, 5s window, higher is better)": {"M3 Pro": "15.04 (95.2 %)"},
}
AXES = ["0 50 100 150 200", "0 3 6 9 12 15 18", "0 3 6 9 12 15 18"]


@functools.cache
def report() -> str:
    return render_markdown(build(community=True))


def reported() -> list[list[list[str]]]:
    """All tables but that of predictions, which the report does not have."""
    return [table for table in tables(report()) if "Predicted" not in table[0]]


def transcribed(table: str) -> list[list[str]]:
    rows = [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in table.strip().splitlines()
    ]
    return [["" if cell == "." else cell for cell in row] for row in rows]


@pytest.mark.parametrize("i", range(len(TABLES)))
def test_every_figure_of_every_table(i: int) -> None:
    assert reported()[i] == transcribed(TABLES[i])


def test_no_other_table() -> None:
    assert len(reported()) == len(TABLES)


def test_predictions_stand_beside_the_training_rows() -> None:
    (table,) = (table for table in tables(report()) if "Predicted" in table[0])
    assert [row[:2] for row in table[1:]] == [
        [row[0].rstrip("*"), row[1]] for row in transcribed(TRAINING)[1:]
    ]
    for row, training_row in zip(table[1:], load().training, strict=True):
        found = predict_training("stories110m", training_row.chip)
        ms, middle = found.seconds * 1e3, training_row.ms_per_step.middle
        assert abs(float(row[2]) - ms) < 0.51
        low, high = map(float, row[3].split("-"))
        assert low <= ms <= high
        assert float(row[4].removesuffix(" %")) == round(100 * (ms / middle - 1))
        assert abs(float(row[6]) - found.extra["engine_seconds"] * 1e3) < 0.051


def test_the_order_is_the_reports() -> None:
    assert headings(report()) == [
        "Apple Neural Engine: cross-generation benchmark report",
        "Model configuration",
        "Training performance (static pipeline)",
        "Peak ANE throughput (in memory, 128x conv 512ch sp64)",
        "Comparative charts",
        "Sustained throughput",
        "Key findings",
        "Cross-generation MIL compatibility",
        "macOS compatibility issues",
        "How to contribute",
    ]


def test_bars() -> None:
    charts = fences(report(), "text")
    assert len(charts) == len(BARS)
    for chart, (heading, bars), axis in zip(charts, BARS.items(), AXES, strict=True):
        first, _rule, *lines, last = chart.rstrip("\n").split("\n")
        assert first == heading
        assert last.split() == axis.split()
        assert len(lines) == len(bars)
        for line, (label, figure) in zip(lines, bars.items(), strict=True):
            assert line.startswith(label + " ")
            assert line.endswith(figure)


def test_words_around_the_tables() -> None:
    text = report()
    for words in (
        "Kernels per step (static pipeline): 72, 60 with weights and 12 without (`sdpaBwd2`).",
        (
            "forward: `sdpaFwd`, `ffnW13`, `ffnW2`; backward: `ffnBwdW2t`, `ffnBwdW13t`, `wotBwd`, "
            "`sdpaBwd1`, `sdpaBwd2`, `qkvBwd`"
        ),
        "`cblas_sgemm` on the CPU",
        "maderix/ANE was developed on it",
        "The engine has 16 cores; Ultra chips are two dies and have 32.",
        "Channel flexibility, M1: the profiles say none, the community ?.",
        "The community's matrix has no column for M2.",
        "macOS 26.x: `[MLModel compileModelAtURL:]` is broken",
        "since PR 27",
        "./train_large ane_stories110M_ckpt.bin 256 20 1e-4",
        "@SethBurkart123, @srt54558, @andyg5000, @moriwang, @D-Ogi, @GitBubble, @elijah-pelton",
        "Compiled 2026-03-04",
        "Nobody of pyane has measured any of these figures",
    ):
        assert words in text, words


def test_results_join_the_rows() -> None:
    results = [
        result(
            "m4max", training=[training(66, tflops=1.58)], peak=peak({64: 11.5}), contributor="x"
        ),
        result("m2max", training=[training(110)]),
        result(None, kind="emulator", training=[training(900)]),
    ]
    text = render_markdown(build(results, community=True))
    _runs, _model, rows, _peak = [t for t in tables(text) if "Predicted" not in t[0]][:4]
    found = {row[0]: row[1:] for row in rows}
    # 1.58 of 15.8 TFLOPS, as everywhere in this column.
    assert found["M4 Max"] == [
        "64.0-66.0",
        "10.0-10.2",
        "~3.50s",
        "1.45-1.58",
        "9.2-10.0",
        "@SethBurkart123, @x",
    ]
    assert found["M2 Max"][0] == "110"
    assert list(found) == [
        *("Chip", "M1 Pro", "M1 Max", "M2 Max"),
        *("M3 Ultra*", "M4 Pro", "M4 Max", "M5"),
    ]
    assert found["M1 Pro"] == transcribed(TRAINING)[1][1:]
    assert [row[2] for row in _peak if row[0] == "M4 Max"] == ["10.93-11.50"]
    assert "900" not in text.partition("## On the emulator")[0].partition("## Model")[2]


def test_the_example_in_the_documentation_is_current() -> None:
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")
    (drawn,) = fences(page, "text")
    assert drawn == fences(report(), "text")[0]
    quoted = " ".join(re.findall(r"^> (.*)$", page, re.MULTILINE))
    assert quoted in report()
