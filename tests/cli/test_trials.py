"""What a new user would try, on real data and weights."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pyane.cli import main
from pyane.train.metrics import read_jsonl

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYANE_DEVICE", "emulator")
    return tmp_path


def train(here: Path, *args: str | Path) -> list[float]:
    """Trains in `run`; returns the held-out losses."""
    options = ["--seq-len", "128", "--eval-sequences", "16", "--run-dir", "run"]
    assert main(["train", *map(str, args), *options]) == 0
    records = read_jsonl(here / "run" / "metrics.jsonl")
    return [r["held_out_loss"] for r in records if "held_out_loss" in r]


def generated(capsys: pytest.CaptureFixture[str], prompt: str) -> str:
    capsys.readouterr()
    assert main(["generate", "run", "--prompt", prompt, "--max-tokens", "60", "--seed", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(prompt)
    return out.removeprefix(prompt)


def words_of(path: Path) -> set[str]:
    return set(path.read_text().split())


def test_from_scratch_with_llamas_tokenizer(
    here: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shared_data / "tinystories_200k.txt"
    args = ["--data", text, "--tokenizer", shared_data / "tokenizer.model", "--steps", "250"]
    losses = train(here, *args, "--compact-vocabulary", "--learning-rate", "0.004")
    out = capsys.readouterr().out
    assert "2,693 of 32,000 tokens occur" in out
    assert losses[0] == pytest.approx(math.log(2693), abs=0.2)
    # The frequencies of the tokens alone give 6.0 nats.
    assert losses[-1] < 5.3
    words = generated(capsys, "Once upon a time").split()
    known = [w in words_of(text) for w in words[:-1]]
    assert sum(known) >= 0.7 * len(known)


def test_from_scratch_with_512_tokens(
    here: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shared_data / "tinystories_200k.txt"
    args = ["--data", text, "--tokenizer", shared_data / "tok512.bin", "--steps", "250"]
    losses = train(here, *args, "--dashboard", "--jsonl", "log.jsonl")
    assert losses[0] == pytest.approx(math.log(512), abs=0.2)
    assert losses[-1] < 4.2
    records = [json.loads(line) for line in (here / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records if r["type"] == "step"] == list(range(250))
    assert all(r["t_ane"] > 0 and r["compiles"] == 9 for r in records if r["type"] == "step")
    assert all(r["ane_tflops"] > 0 for r in records if r["type"] == "perf")
    assert generated(capsys, "Lily")


def test_fine_tuning(here: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shared_data / "tinystories_200k.txt"
    args = ["--init-from", shared_data / "stories260K.bin", "--data", text, "--steps", "60"]
    args += ["--tokenizer", shared_data / "tok512.bin", "--learning-rate", "0.0005"]
    losses = train(here, *args, "--eval-every", "20")
    assert losses[0] < 2.2
    assert losses[-1] < losses[0] - 0.1
    assert (here / "run" / "best.bin").read_bytes() == (here / "run" / "model.bin").read_bytes()
    words = generated(capsys, "Lily had a").split()
    known = [w in words_of(text) for w in words[:-1]]
    assert sum(known) >= 0.7 * len(known)
