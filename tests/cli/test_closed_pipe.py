"""`pyane ... | head`: a reader that has gone is no error of any command, and changes no finding."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyane.bench.result import Benchmark, Case, DeviceFacts, HostFacts, Metric, Result, Software

MODEL = """program(1.3)
{
    func main<ios18>(tensor<fp16, [1, 64, 1, 64]> x) {
        tensor<fp16, [1, 64, 1, 64]> y = relu(x=x)[name=string("y")];
    } -> (y);
}
"""
TRAIN = ["--batch-size", "1", "--seq-len", "16", "--story-bytes", "20000", "--eval-sequences", "1"]


def unread(folder: Path, *args: str) -> tuple[int, str]:
    """Exit code and errors of a command whose output nobody reads, from the first byte on."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pyane", *args],
            check=False, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=folder,
            env={**os.environ, "PYANE_DEVICE": "emulator"}, timeout=100,
        )  # fmt: skip
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--version"],
        ["chips"],
        ["info"],
        ["doctor"],
        ["run", "model.mil", "--random-inputs"],
        ["profile", "model.mil", "--threads", "1"],
        ["check", "model.mil", "--fail-on", "never"],
        ["bench", "io", "--quick", "--seconds", "0.001", "-o", "result.json"],
        ["report", "--community"],
        ["train", *TRAIN, "--steps", "2"],
    ],
    ids=" ".join,
)
def test_no_error(tmp_path: Path, args: list[str]) -> None:
    (tmp_path / "model.mil").write_text(MODEL)
    assert unread(tmp_path, *args) == (0, "")


def test_findings_stay(tmp_path: Path) -> None:
    (tmp_path / "bad.mil").write_text(MODEL.replace("relu", "nothing"))
    assert unread(tmp_path, "check", "bad.mil") == (1, "")
    for name, factor in (("a.json", 1.0), ("b.json", 2.0)):
        time = Metric("ms", "lower", tuple(factor * x for x in (5.0, 5.1, 5.2, 5.3, 5.4)))
        Result(
            "2026-11-22T14:00:00Z",
            Software("0.1.0", None),
            DeviceFacts("ane", None, None, "engine"),
            HostFacts(),
            {"quick": True},
            (Benchmark("peak", (Case("128x512", {}, metrics={"time": time}),)),),
        ).save(tmp_path / name)
    for form in ([], ["--json"]):
        assert unread(tmp_path, "compare", "a.json", "b.json", *form) == (1, "")


def test_errors_stay(tmp_path: Path) -> None:
    code, err = unread(tmp_path, "show", "absent.mil")
    assert code == 1
    assert re.fullmatch(r"pyane: error: absent\.mil.*\n", err)


def test_reader_that_goes_while_training(tmp_path: Path) -> None:
    """The step is finished and saved, as after Ctrl-C, but nobody has asked for a signal's code."""
    args = [sys.executable, "-m", "pyane", "train", *TRAIN, "--steps", "2000", "--run-dir", "run"]
    running = subprocess.Popen(
        args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert running.stdout is not None
    assert running.stderr is not None
    while not running.stdout.readline().startswith("step"):
        assert running.poll() is None
    running.stdout.close()
    assert running.wait(timeout=60) == 0
    assert running.stderr.read() == ""
    running.stderr.close()
    assert (tmp_path / "run" / "state.bin").is_file()
