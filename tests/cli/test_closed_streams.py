"""Standard streams that the caller has closed: `pyane ... >&-`, `<&-`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mil_text import operation, program, tensor_type

KIND = tensor_type("float16", (1, 2))
TRAIN = (
    "train --batch-size 1 --seq-len 16 --story-bytes 20000 --eval-sequences 1 --steps 2 "
    "--threads 1 --device emulator --run-dir run --jsonl log.jsonl"
)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    text = program({"x": KIND}, [operation("exp", "y", KIND, {"x": "%x"})], ["y"])
    (tmp_path / "m.mil").write_text(text)
    return tmp_path


def shell(here: Path, line: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'"$0" -m pyane {line}', sys.executable]
    return subprocess.run(command, cwd=here, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_output_goes_nowhere(here: Path, closed: str) -> None:
    done = shell(here, f"profile m.mil --repeat 1 --threads 1 -o trace.json {closed}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (here / "trace.json").read_text().startswith("{")


def test_training_without_output(here: Path) -> None:
    done = shell(here, f"{TRAIN} >&-")
    assert (done.returncode, done.stderr) == (0, "")
    lines = (here / "log.jsonl").read_text().splitlines()
    assert all(line.startswith("{") for line in lines)  # Nothing else wrote to its descriptor.


@pytest.mark.parametrize("command", ["profile -", "show -"])
def test_input_that_is_closed(here: Path, command: str) -> None:
    done = shell(here, f"{command} <&-")
    message = "pyane: error: MODEL - reads standard input, which is closed\n"
    assert (done.returncode, done.stderr) == (2, message)


def test_input_that_is_open(here: Path) -> None:
    assert shell(here, "show - < m.mil").returncode == 0
