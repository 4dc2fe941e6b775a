from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from pyane.bench import channels, dispatch, io, processes, registry
from pyane.bench.measure import Bench, Benchmark, Metrics, Plan, WrongResult
from pyane.bench.result import load, schema
from pyane.cli import main

FAST = ["--device", "emulator", "--quick", "--seconds", "0.001"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io, "SIZES", {"tiny": 64})
    monkeypatch.setattr(channels, "CHANNELS", (16, 512))


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(registry.BENCHMARKS)


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()


def test_a_file_and_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"
    options = ["-o", str(path), "--contributor", "@me", "--notes", "quiet"]
    assert main(["bench", "dispatch", "io", *FAST, *options]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Device: emulator (CPU; not an ANE), ieee arithmetic\n")
    assert "dispatch on emulator (CPU; not an ANE)" in out
    assert "write_fp32_tiny" in out
    result = load(path)
    assert [b.name for b in result.benchmarks] == ["dispatch", "io"]
    assert (result.contributor, result.notes) == ("@me", "quiet")
    assert result.settings["seconds"] == 0.001
    # What is shown is the file itself, without its samples.
    shown = json.loads(out[out.index("{") : out.rindex("}\n") + 2])
    assert shown == {k: v for k, v in json.loads(path.read_text()).items() if k != "benchmarks"}
    n = sum(metric.runs for _, _, _, metric in result.metrics())
    assert f"and {n:,} samples of {len(dispatch.CALLS) + 4} cases of: dispatch, io." in out
    assert out.endswith("These are figures of the emulator, not of an ANE.\n")


def test_refusals_are_told_with_their_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "channels", *FAST[2:], "--device", "emulator:m3pro:strict"]) == 0
    out = capsys.readouterr().out
    assert "as M3 Pro, ieee arithmetic, strict" in out
    assert "size must be 512 bytes" in " ".join(out.split())
    assert "channels with hand-made records: 512 (1 of 2 compile and compute rightly)" in out


def failing(error: BaseException) -> Benchmark:
    def measure() -> Metrics:
        raise error

    def plans(_bench: Bench) -> Iterable[Plan]:
        return [Plan("case", {}, measure)]

    return Benchmark("bad", "fails", plans)


def test_wrong_numbers_give_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "BENCHMARKS", {"bad": failing(WrongResult("y[3] should be 1"))})
    path = tmp_path / "r.json"
    assert main(["bench", "bad", *FAST, "-o", str(path)]) == 1
    assert "failed: y[3] should be 1" in capsys.readouterr().out
    assert load(path).benchmarks[0].cases[0].status == "failed"


def test_ctrl_c_keeps_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmarks = {"io": io.BENCHMARK, "bad": failing(KeyboardInterrupt())}
    monkeypatch.setattr(registry, "BENCHMARKS", benchmarks)
    path = tmp_path / "r.json"
    assert main(["bench", "all", *FAST, "-o", str(path)]) == 130
    result = load(path)
    assert [b.name for b in result.benchmarks] == ["io", "bad"]
    assert result.benchmarks[1].cases[0].reason == "interrupted"


def test_a_process_for_each_where_compilations_are_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    arguments = ["bench", "dispatch", "io", *FAST[2:], "--device", "emulator:m1:strict"]
    assert main([*arguments, "-o", str(path)]) == 0
    result = load(path)
    assert [b.name for b in result.benchmarks] == ["dispatch", "io"]
    assert result.settings["seconds"] == 0.001
    assert (result.device.chip, result.device.strict) == ("m1", True)
    assert {case.status for b in result.benchmarks for case in b.cases} == {"ok"}
    out = capfd.readouterr().out
    assert "dispatch on emulator (CPU; not an ANE), as M1, ieee arithmetic, strict" in out
    assert out.count("Written to") == 1


def test_a_process_that_dies_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    honest = processes.run

    def run(name: str, options: list[str]) -> object:
        return None if name == "dispatch" else honest(name, options)

    monkeypatch.setattr(processes, "run", run)
    path = tmp_path / "r.json"
    arguments = ["bench", "dispatch", "io", *FAST[2:], "--device", "emulator:m1:strict"]
    assert main([*arguments, "-o", str(path)]) == 1
    assert [b.name for b in load(path).benchmarks] == ["io"]
    assert "dispatch: the process that measured it ended without results" in capfd.readouterr().err


@pytest.mark.parametrize("device", ["emulator", "emulator:m1:strict"])
@pytest.mark.parametrize("exists", [False, True], ids=["new", "existing"])
def test_a_real_ctrl_c(tmp_path: Path, device: str, exists: bool) -> None:
    path, kept = tmp_path / "r.json", tmp_path / "r.json"
    if exists:
        path.write_text("what the user had")
        kept = tmp_path / "r.unfinished.json"
    command = [sys.executable, "-m", "pyane", "bench", "dispatch", "sustained", "--quick"]
    process = subprocess.Popen(
        [*command, "--device", device, "-o", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not kept.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)  # Into the five seconds of the second benchmark.
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[-1]) == (130, "pyane: interrupted")
    assert "Written to" in out
    assert load(kept).benchmarks[0].name == "dispatch"
    assert load(kept).benchmarks[0].cases[0].status == "ok"
    assert not exists or path.read_text() == "what the user had"


def test_a_whole_run_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("before")
    assert main(["bench", "io", *FAST[2:], "-o", str(path)]) == 0
    assert [b.name for b in load(path).benchmarks] == ["io"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["peek"], "name must be all or one of peak,"),
        ([], "got none"),
        (["io", "--contributor", "a b"], "contributor: 'a b' does not match"),
        (["io", "-o", "/nowhere/r.json"], "must be a file in a folder that exists"),
        (["io", "-o", "/tmp"], "--output /tmp: must be a file"),
        (["io", "-o", "x" * 300], "cannot be written there (File name too long)"),
        (["io", "--notes", "\udcff"], "texts must be Unicode"),
        (["io", "--seconds", "-1"], "seconds must be from 0 to 3600, got -1"),
        (["io", "--weight-records", "x"], "weight_records must be one of official, hand-made"),
        (["io", "--notes", "x" * 3000], "notes: "),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments, "--device", "emulator"]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert " on emulator" not in out
