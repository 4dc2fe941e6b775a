"""`pyane generate` with a real model, where there is one, and with a made-up one."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from pyane.cli import main
from pyane.llama import Config, Parameters, checkpoint
from pyane.train.stories import story_text
from pyane.train.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with untrained weights and a tokenizer."""
    folder = tmp_path_factory.mktemp("model") / "hf"
    tokenizer = train_tokenizer(story_text(30_000, 0), 400)
    config = Config(
        dim=16,
        hidden_dim=24,
        n_layers=1,
        n_heads=2,
        n_kv_heads=1,
        vocab_size=tokenizer.vocab_size,
        seq_len=40,
    )
    parameters = Parameters(config).init(np.random.default_rng(0))
    checkpoint.write(folder, config, parameters)
    tokenizer.save(folder / tokenizer.file_name)
    return folder


@pytest.fixture(params=[".bin", "folder"])
def stories(request: pytest.FixtureRequest, shared_data: Path, tmp_path: Path) -> list[str]:
    """Arguments for stories260K, as it is and as a Hugging Face folder."""
    source = shared_data / "stories260K.bin"
    if request.param == "folder":
        assert main(["convert", str(source), str(tmp_path / "hf")]) == 0
        source = tmp_path / "hf"
    return ["generate", str(source), "--tokenizer", str(shared_data / "tok512.bin")]


def test_greedy_text_is_llama2c_s(
    stories: list[str], shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = json.loads((shared_data / "stories260K_golden.json").read_text())["cases"][1]
    n = len(case["prompt_tokens"])
    args = [*stories, "--prompt", case["prompt"], "--temperature", "0"]
    capsys.readouterr()
    assert main([*args, "--max-tokens", str(48 - n), "--tokens"]) == 0
    assert json.loads(capsys.readouterr().out) == case["greedy_tokens"][:48]
    assert main([*args, "--max-tokens", "20"]) == 0
    assert capsys.readouterr().out.startswith(case["prompt"] + " ")


def test_several_samples(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sample i is what --seed i alone gives."""
    common = ["generate", str(model), "--max-tokens", "12", "--top-k", "50", "--top-p", "0.9"]
    assert main([*common, "--samples", "3", "--seed", "4", "--tokens"]) == 0
    together = capsys.readouterr().out.splitlines()
    assert len(set(together)) == 3
    alone = []
    for seed in ("4", "5", "6"):
        assert main([*common, "--seed", seed, "--tokens"]) == 0
        alone += capsys.readouterr().out.splitlines()
    assert together == alone
    assert main([*common, "--samples", "2", "--seed", "4"]) == 0
    assert re.match(
        r"\[1 of 2, seed 4\]\n.*\n\n\[2 of 2, seed 5\]\n", capsys.readouterr().out, re.DOTALL
    )


def test_text_appears_as_it_is_generated(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.shown: list[str] = []

        def flush(self) -> None:
            if not self.closed:
                self.shown.append(self.getvalue())

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["generate", str(model), "--prompt", "One day", "--max-tokens", "8"]) == 0
    assert terminal.shown[0] == "One day"
    assert len(set(terminal.shown)) >= 5  # a token may be a part of a character


def test_long_prompts(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Longer than the context: said, not refused; what is generated goes beyond it as well."""
    text = story_text(2_000, 3)
    (tmp_path / "prompt.txt").write_text(text)
    args = ["generate", str(model), "--prompt-file", str(tmp_path / "prompt.txt")]
    assert main([*args, "--max-tokens", "50"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(text)
    assert re.search(r"prompt has \d{3,} tokens, of which the model sees the last 40, its", err)
    assert main([*args, "--max-tokens", "5", "--context", "7"]) == 0
    assert "of which the model sees the last 7, its context" in capsys.readouterr().err


def test_stop(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["generate", str(model), "--prompt", "One day", "--max-tokens", "30"]
    assert main(args) == 0
    whole = capsys.readouterr().out
    new = whole.removeprefix("One day").removesuffix("\n")
    stop = new[len(new) // 2 :][:2]
    assert main([*args, "--stop", "never in it", "--stop", stop]) == 0
    assert capsys.readouterr().out == "One day" + new[: new.index(stop)] + "\n"


def test_prompt_from_standard_input(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hello")))
    assert main(["generate", str(model), "--prompt-file", "-", "--max-tokens", "0"]) == 0
    assert capsys.readouterr().out == "Hello\n"


def test_more_standard_input_than_a_prompt_may_have(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pyane.cli.generate._MAX_PROMPT_BYTES", 4)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hello")))
    assert main(["generate", str(model), "--prompt-file", "-", "--max-tokens", "0"]) == 1
    assert "-: prompt must have at most 4 bytes, got more" in capsys.readouterr().err


def test_stats(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", str(model), "--max-tokens", "9", "--stats", "--seed", "1"]) == 0
    err = capsys.readouterr().err
    assert re.search(r"1 token of prompt and the first in [\d.]+ s .*then \d in .* tokens/s", err)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--top-p", "0"], 2, "--top-p must be above 0 and at most 1, got 0.0"),
        (["--temperature", "inf"], 2, "--temperature must be at least 0 and finite, got inf"),
        (["--prompt", "a", "--prompt-file", "b"], 2, "--prompt and --prompt-file exclude each"),
        (["--prompt-file", "absent"], 1, "absent: prompt does not exist"),
        (["--prompt-file", "bad"], 1, "bad: prompt must be UTF-8, got byte 0xff at offset 1"),
        (["--samples", "0"], 2, "--samples"),
        (["--tokens", "--stop", "x"], 2, "--tokens and --stop exclude each other"),
        (["--context", "41"], 2, "--context must be at most 40, the model's, got 41"),
    ],
)
def test_errors(
    args: list[str],
    code: int,
    message: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad").write_bytes(b"a\xff")
    assert main(["generate", str(model), *args]) == code
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_logits_that_are_not_finite(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, parameters = checkpoint.read(model)
    parameters["w2"].fill(7e4)
    checkpoint.write(tmp_path / "model.bin", config, parameters)
    (tmp_path / "tokenizer.model").write_bytes((model / "tokenizer.model").read_bytes())
    assert main(["generate", str(tmp_path)]) == 1
    assert "logits must be finite" in capsys.readouterr().err
