from __future__ import annotations

from pathlib import Path

import pytest

from pyane.bench import upstream
from pyane.bench.result import from_dict
from pyane.errors import ConfigError

# As people post it: the program's lines, and JSON among them.
OUTPUT = """Chip: Apple M4 Max, macOS 15.3.1
=== ANE Training: Stories110M ===
{"type": "step", "step": 0, "loss": 5.2, "t_ane": 10.5, "t_io": 4.0, "compiles": 72}
{"type": "step", "step": 1, "loss": 5.1, "t_ane": 9.9, "t_io": 4.1, "compiles": 72}
{not json}
{"type": "batch", "batch": 1, "compile_ms": 3500.0, "train_ms": 640.0, "ms_per_step": 64.0}
{"type": "perf", "ane_tflops": 1.45, "ane_util_pct": 9.2}
{"type": "batch", "batch": 2, "compile_ms": 3510.0, "train_ms": 650.0, "ms_per_step": 65.0}
"""


def test_output_of_a_training_run(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_text(OUTPUT)
    result = upstream.load(path, contributor="@SethBurkart123")
    assert (result.device.kind, result.device.chip, result.device.product) == (
        "ane",
        "m4max",
        "M4 Max",
    )
    assert result.host.os_version == "15.3.1"
    assert result.origin == "maderix/ANE train_large"
    assert result.pyane.version is None
    benchmark = result.benchmark("training")
    assert benchmark is not None
    metrics = benchmark.cases[0].metrics
    assert metrics["time"].samples == (64.0, 65.0)
    assert metrics["ane_time"].samples == (10.5, 9.9)
    assert metrics["compile"].samples == (3500.0, 3510.0)
    assert metrics["rate"].samples == (1.45,)
    assert metrics["utilisation"].samples == (9.2,)
    assert from_dict(result.to_dict()) == result  # As the schema says.


@pytest.mark.parametrize(
    ("name", "chip"),
    [("m1_pro.txt", "m1pro"), ("M5.log", "m5"), ("m3-ultra/out.jsonl", "m3ultra")],
)
def test_chip_by_name(tmp_path: Path, name: str, chip: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(OUTPUT.partition("\n")[2])
    (result,) = upstream.load_folder(tmp_path)
    assert result.device.chip == chip


def test_lines_of_our_own_emulator_are_not_taken_for_the_engines(tmp_path: Path) -> None:
    path = tmp_path / "steps.jsonl"
    path.write_text(
        '{"type": "batch", "ms_per_step": 900.0}\n'
        '{"type": "perf", "ane_tflops": 0.1, "ane_util_pct": null, "device": "emulator"}\n'
    )
    device = upstream.load(path).device
    assert (device.kind, device.chip, device.numerics) == ("emulator", None, "ieee")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "must hold JSON lines of a training run .* got 0 lines"),
        ('{"type": "step", "t_ane": 3}', "got 1 lines of its types .* no ms_per_step"),
        ('{"type": "batch", "ms_per_step": "64"}', "got 1 lines"),
        ('{"type": "batch", "ms_per_step": NaN}', "got 1 lines"),
        ('{"type": "batch", "ms_per_step": true}', "got 1 lines"),
        ('{"type": "batch", "ms_per_step": -5}', "got 1 lines"),
        ('{"type": "batch", "ms_per_step": 1%s}' % ("0" * 400), "got 1 lines"),
        ('{"type": "batch", "ms_per_step": 1%s}' % ("0" * 5000), "got 0 lines"),
        ('{"chip": "M4", "results": []}', "pyane knows nothing"),
        ('{"type": "batch", "ms_per_step": 64}', "does not say the chip"),
        ('M9 M4 M5\n{"type": "batch", "ms_per_step": 64}', "does not say the chip"),
        ('{"type": "batch", "ms_per_step": 64, "device": "gpu"}', r"got \['gpu'\]"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        upstream.load(path)


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("hello")
    with pytest.raises(ConfigError, match="got none"):
        upstream.load_folder(tmp_path)
