"""`python -m benchmarks.emulator` and its step_timeline as programs: what they refuse, Ctrl-C, `| head`."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EMULATOR = "benchmarks.emulator.__main__"
TIMELINE = "benchmarks.emulator.step_timeline"
SMALL = ["--only", "small", "--quick", "--threads", "1"]


def start(*args: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.emulator", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,  # for signals to all of it, as a terminal sends them
    )


class Refused:
    """What a program says to arguments that it refuses, before it has measured anything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.syspath_prepend(ROOT)
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, module: str, *args: str | Path) -> str:
        self._monkeypatch.setattr(sys, "argv", [module, *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            importlib.import_module(module).main()
        out, err = self._capsys.readouterr()
        assert (ended.value.code, out) == (2, "")
        return err


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    return Refused(monkeypatch, capsys)


@pytest.mark.parametrize(("module", "flag"), [(EMULATOR, "--json"), (TIMELINE, "--trace")])
def test_files_that_cannot_be_written(
    module: str, flag: str, tmp_path: Path, refused: Refused
) -> None:
    for file in (tmp_path / "absent" / "a.json", tmp_path):
        err = refused(module, flag, file)
        assert f"{flag} {file}: must be a file in a folder that exists" in err
    if Path("/proc/self").exists():
        err = refused(module, flag, "/proc/a.json")
        assert f"{flag} /proc/a.json: cannot be written there" in err


def test_results_of_pytest_that_cannot_be_written() -> None:
    args = ["-m", "pytest", "benchmarks/", "--bench-json", "absent/a.json", "--collect-only"]
    done = subprocess.run(
        [sys.executable, *args], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    told = "ERROR: --bench-json absent/a.json: must be a file in a folder that exists"
    assert done.stderr.strip() == told


@pytest.mark.parametrize("module", [EMULATOR, TIMELINE])
def test_threads_that_cannot_be_had(module: str, refused: Refused) -> None:
    assert "may be used, got 99999" in refused(module, "--threads", "99999")
    for wrong in ("0", "x", "1,,2"):
        err = refused(module, "--threads", wrong)
        assert f"--threads: must be numbers from 1 on, such as 1,2,4, got '{wrong}'" in err


@pytest.mark.parametrize("wrong", ["0", "-1"])
def test_rounds(wrong: str, refused: Refused) -> None:
    assert f"--rounds must be at least 1, got {wrong}" in refused(TIMELINE, "--rounds", wrong)


def test_threads_left_out_are_said_and_the_file_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    running = start("--only", "small", "--quick", "--threads", "1,99999", "--json", file)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert err.endswith("not measured on 99999 threads\n")
    assert "add on 48 KB, a call" in out
    written = json.loads(file.read_text())
    assert written["finished"] is True
    assert [(row["group"], row["threads"]) for row in written["rows"]] == 2 * [("small", 1)]


def test_interrupt_keeps_the_rows(tmp_path: Path) -> None:
    """Beside a file of an earlier run, which stays."""
    (file := tmp_path / "a.json").write_text("earlier")
    running = start("--only", "small,small,small", "--threads", "1", "--json", file)
    assert running.stdout is not None
    while "48 KB, a call" not in running.stdout.readline():
        assert running.poll() is None
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    kept = tmp_path / "a.unfinished.json"
    written = json.loads(kept.read_text())
    n = len(written["rows"])
    assert 1 <= n < 6
    assert written["finished"] is False
    assert err == f"{n} row{'s' * (n > 1)} kept in {kept}: interrupted\n"
    assert running.returncode == 130
    assert file.read_text() == "earlier"


def test_interrupt_while_another_process_measures() -> None:
    running = start("--only", "memory", "--quick", "--threads", "1")
    assert running.stdout is not None
    while "memory:" not in running.stdout.readline():
        assert running.poll() is None
    time.sleep(0.5)  # the process has been started, and loads modules
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "interrupted\n")


def test_reader_that_goes_away(tmp_path: Path) -> None:
    running = start(*SMALL, "--json", tmp_path / "a.json")
    assert running.stdout is not None
    assert running.stderr is not None
    while "small:" not in running.stdout.readline():
        assert running.poll() is None
    running.stdout.close()
    assert running.wait(timeout=60) == 0
    assert running.stderr.read() == ""
    running.stderr.close()
    assert json.loads((tmp_path / "a.json").read_text())["finished"] is False


def test_columns_of_the_timeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.emulator.step_timeline import WHOLE, table  # noqa: PLC0415

    long = "cross_entropy_forward_backward"
    times = {long: [1e-3], "upload": [2e-3], WHOLE: [4e-3]}
    lines = table({1: times, 16: times}).splitlines()
    assert "  1 thread " in lines[0]
    assert " 16 threads " in lines[0]
    assert len(set(map(len, lines))) == 1
