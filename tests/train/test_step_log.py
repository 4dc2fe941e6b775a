"""JSON lines as tools made for upstream read them, and the efficiency report."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from pyane.errors import CheckpointError
from pyane.train.efficiency import Device, Efficiency, measure, report
from pyane.train.optimizer import MicroBatch
from pyane.train.step_log import PHASES, StepLog
from pyane.train.trainer import StepReport

TIMINGS = {"t_ane": 0.010, "t_io": 0.002, "t_cls": 0.003, "t_elem": 0.001, "t_rms": 0.0005}
REPORT = StepReport(
    step=3,
    loss=4.5,
    held_out_loss=None,
    learning_rate=1e-3,
    gradient_norm=1.0,
    loss_scale=1024.0,
    skipped=0,
    tokens=300,
    seconds=0.2,
    micro_batches=(MicroBatch(4.0, 0.02, TIMINGS), MicroBatch(5.0, 0.03, TIMINGS)),
    compile_seconds=0.1,
    n_compiles=72,
    ane_flops=5e9,
    total_flops=8e9,
)


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_records_of_a_step(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "log", Device("ane", "M1", 10.0))
    log.on_step(REPORT)
    log.close()
    first, second, batch, perf = records(tmp_path / "log")
    expected = {"t_ane": 10.0, "t_io": 2.0, "t_cls": 3.0, "t_elem": 1.0, "t_rms": 0.5}
    assert first == {
        "type": "step", "step": 4, "loss": 4.0, **expected, "t_cblas_wait": None, "compiles": 72
    }  # fmt: skip
    assert (second["step"], second["loss"]) == (5, 5.0)
    assert batch == {
        "type": "batch", "batch": 3, "compile_ms": 100.0, "train_ms": 50.0, "ms_per_step": 25.0
    }  # fmt: skip
    assert perf["type"] == "perf"
    assert perf["device"] == "ane"
    assert perf["ane_tflops"] == pytest.approx(5e9 / 0.05 / 1e12)
    assert perf["ane_util_pct"] == pytest.approx(100 * 0.1 / 10)


def test_what_is_not_known_is_null(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "log", Device("emulator"))
    silent = MicroBatch(4.0, 0.02, {})
    log.on_step(dataclasses.replace(REPORT, micro_batches=(silent,), ane_flops=0.0))
    log.on_step(dataclasses.replace(REPORT, step=0, loss=math.nan, micro_batches=()))
    log.close()
    step, _, perf = records(tmp_path / "log")
    assert all(step[phase] is None for phase in PHASES)
    assert (perf["ane_tflops"], perf["ane_util_pct"]) == (None, None)


def test_log_is_appended_to(tmp_path: Path) -> None:
    for _ in range(2):
        log = StepLog(tmp_path / "log", Device("emulator"))
        log.on_step(REPORT)
        log.close()
    assert len(records(tmp_path / "log")) == 8


def test_log_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"--jsonl .*none/log: could not be opened"):
        StepLog(tmp_path / "none" / "log", Device("emulator"))


def test_log_that_cannot_be_written(full_device: str) -> None:
    log = StepLog(Path(full_device), Device("emulator"))
    with pytest.raises(CheckpointError, match=r"--jsonl /dev/full: .*No space left on device"):
        log.on_step(REPORT)
    log.close()


def test_measure_adds_up(tmp_path: Path) -> None:
    timing = tmp_path / "timing.jsonl"
    lines = [
        {"step": 1, "train_ms": 2000, "compile_ms": 1000, "evaluate_ms": 500, "save_ms": 250},
        {"step": 2, "train_ms": 1000, "compile_ms": 0, "evaluate_ms": 0, "save_ms": 250},
    ]
    lines[0]["t_ane_ms"], lines[1]["t_ane_ms"] = 700, 500
    timing.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"torn')
    e = measure(timing, ane_flops=6e11, total_flops=9e11)
    assert (e.steps, e.wall_seconds, e.compile_seconds, e.train_seconds) == (2, 5.0, 1.0, 3.0)
    assert e.phases == {"t_ane": 600.0}
    assert e.ms_per_step == 1500
    assert e.ane_tflops == pytest.approx(0.4)
    assert e.total_tflops == pytest.approx(0.6)


def test_no_steps(tmp_path: Path) -> None:
    (tmp_path / "timing.jsonl").touch()
    text = report(measure(tmp_path / "timing.jsonl", 1e9, 1e9), Device("ane"))
    assert "Total steps:     0" in text


EFFICIENCY = Efficiency(2, 5.0, 1.0, 3.0, 6e11, 9e11, {"t_ane": 600.0})


def test_report() -> None:
    assert report(EFFICIENCY, Device("ane", "M1 Max", 10.0)).splitlines() == [
        "=== Efficiency Report ===",
        "Total steps:     2",
        "Wall time:       5000 ms (5.0 s)",
        "Compile time:    1000 ms (20.0%)",
        "Train time:      3000 ms (60.0%)",
        "Avg train:       1500.0 ms/step",
        "Avg phases:      t_ane 600.0 ms",
        "ANE TFLOPS:      0.4 sustained",
        "Total TFLOPS:    0.6 (device + CPU)",
        "ANE utilization: 4% of 10 TFLOPS (M1 Max)",
    ]


def test_report_of_the_emulator_claims_no_engine() -> None:
    text = report(EFFICIENCY, Device("emulator"))
    assert "Emulated TFLOPS: 0.4 sustained (emulator on this CPU, not an ANE)" in text
    assert "ANE TFLOPS" not in text
    assert "utilization" not in text
    text = report(EFFICIENCY, Device("emulator", "M1", 11.0))
    assert "ANE utilization: the emulator reaches 3.6% of 11 TFLOPS (M1)" in text
