from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pyane.cli import main


def test_prepare_and_train(
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The run of prepared tokens is that of the text itself."""
    monkeypatch.chdir(tmp_path)
    text, tokenizer = shared_data / "tinystories_200k.txt", str(shared_data / "tok512.bin")
    assert main(["data", "prepare", str(text), "--tokenizer", tokenizer, "-o", "t.bin"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"t\.bin: [\d,]+ tokens \(uint16\) of 1,230 documents, 197,290 bytes", out)
    losses = []
    for data in (str(text), "t.bin"):
        run = f"run-{len(losses)}"
        args = ["--steps", "2", "--seq-len", "32", "--eval-sequences", "2", "--run-dir", run]
        assert main(["train", "--data", data, "--tokenizer", tokenizer, *args]) == 0
        config = json.loads(Path(run, "config.json").read_text())
        lines = Path(run, "metrics.jsonl").read_text().splitlines()
        losses.append((config["data"]["sha256"], [json.loads(line).get("loss") for line in lines]))
    assert losses[0] == losses[1]
    capsys.readouterr()
    other = str(shared_data / "tokenizer.model")
    args = ["train", "--data", "t.bin", "--tokenizer", other, "--preset", "stories15m"]
    assert main(args) == 1
    assert "t.bin: the tokens were made with another tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["prepare", "a.txt", "--tokenizer", "x.model", "-o", "a.tokens"], 2, "must end in .bin"),
        (["prepare", "--tokenizer", "x.model"], 2, "Missing argument 'TEXT...'"),
        (["prepare", "a.txt"], 2, "Missing option '--tokenizer'"),
        (["prepare", "a.txt", "--tokenizer", "x.model"], 1, "x.model: tokenizer does not exist"),
        (["prepare", "a.txt", "--tokenizer", "x", "-j", "0"], 2, "Invalid value for '--jobs'"),
        (["download", "c4"], 2, "corpus must be one of tinystories, got c4"),
        (["nonsense"], 2, "No such command 'nonsense'"),
    ],
)
def test_errors(
    args: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *args]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("args", [["--help"], ["prepare", "--help"], ["download", "-h"]])
def test_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *args]) == 0
    assert "pyane data" in capsys.readouterr().out
