"""What the command line says to wrong use. Needs no model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyane
from pyane import llama
from pyane.cli import main
from pyane.train.config import TrainConfig


def fails(capsys: pytest.CaptureFixture[str], code: int, *args: str | Path) -> str:
    """Runs a command that must fail; returns its one line of error."""
    assert main([str(a) for a in args]) == code
    out, err = capsys.readouterr()
    assert err.startswith("pyane: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in out + err
    return err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pyane {pyane.__version__}\n"


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_help(capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    assert main(args) == 0
    out = capsys.readouterr().out
    assert "pyane train" in out
    assert "generate" in out


@pytest.mark.parametrize("command", ["train", "generate", "info", "show", "run", "check", "chips"])
def test_help_of_commands_has_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Examples:\n    pyane {command}" in out


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from pyane.cli import main; main(['train', '--help'])\n"
        "sys.exit(','.join({'matplotlib', 'sentencepiece', 'rich.progress', 'pyane.llama.model'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("\n", 1)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["--nonsense"], "No such option: --nonsense"),
        (["train", "--nonsense"], r"No such option: --nonsense.*see pyane train --help"),
        (["train", "--steps"], "--steps' requires an argument"),
        (["train", "--steps", "many"], "Invalid value for '--steps'"),
        (["train", "--steps", "0"], "--steps must be at least 1, got 0"),
        (
            ["train", "--batch-size", "100000000"],
            r"--batch-size 100000000: the activations alone take [\d,]+ GB, .* has [\d,]+ GB; \d+ seq",
        ),
        (
            ["train", "--batch-size", "1", "--seq-len", "2000000000"],
            "--seq-len 2000000000: the activations alone take",
        ),
        (["train", "--learning-rate", "-1"], "--learning-rate must be positive, got -1.0"),
        (["train", "--preset", "gpt5"], "--preset must be one of stories260k, .*, got gpt5"),
        (["train", "extra"], "unexpected extra argument"),
        (["generate"], "Missing argument 'MODEL'"),
        (["generate", "x.bin", "--temperature", "-1"], "Invalid value for '--temperature'"),
        (["generate", "x.bin", "--max-tokens", "-1"], "Invalid value for '--max-tokens'"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], args: list[str], message: str) -> None:
    assert re.search(message, fails(capsys, 2, *args))


def test_every_setting_of_a_run_is_a_flag_with_its_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.partition("Options")[2].split())
    words = re.sub(r"(\w)- (\w)", r"\1-\2", words)  # a word broken over two lines
    for name, default in TrainConfig().to_dict().items():
        flag = "--" + name.replace("_", "-")
        assert re.search(rf"{flag}[ /]", words), flag
        if default is None or isinstance(default, bool):
            continue
        told = re.search(rf"{flag} [^\[]*\[([^\]; ]+)", words)
        assert told, flag
        assert type(default)(told.group(1)) == default, flag


def test_presets_in_the_help_are_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    for preset in llama.PRESETS:
        assert preset in words


def test_flags_reach_the_run(here: Path) -> None:
    tokens = np.random.default_rng(0).integers(3, 512, 300).astype("<u2")
    tokens.tofile(here / "tokens.bin")
    (here / "run.toml").write_text(
        "data = 'tokens.bin'\nseq-len = 8\nsteps = 2\nbatch-size = 1\nseed = 4\n"
    )
    flags = ["--cls", "ane", "--blobs", "single", "--weights-as", "packed", "--taps", "concat"]
    flags += ["--rmsnorm-backward", "ane", "--pipeline", "static", "--accumulation", "1"]
    flags += ["--patience", "3", "--schedule", "linear", "--compact-vocabulary", "--chip", "m2max"]
    flags += ["--seed", "5", "--device", "emulator"]
    assert main(["train", "--config", "run.toml", "--run-dir", "run", *flags]) == 0
    settings = json.loads((here / "run" / "config.json").read_text())["train"]
    given = dict(zip((f[2:].replace("-", "_") for f in flags[::2]), flags[1::2], strict=False))
    assert settings["cls"] == "ane"
    assert (settings["seed"], settings["accumulation"], settings["patience"]) == (5, 1, 3)
    assert settings["compact_vocabulary"] is True
    for name in ("blobs", "weights_as", "taps", "rmsnorm_backward", "pipeline", "schedule"):
        assert settings[name] == given[name]
    assert (settings["steps"], settings["data"]) == (2, str(here / "tokens.bin"))


def test_settings_file_and_resume_exclude_each_other(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    err = fails(capsys, 2, "train", "--resume", here, "--config", here / "run.toml")
    assert "--config and --resume exclude each other" in err
    err = fails(capsys, 1, "train", "--config", here / "run.toml")
    assert "run.toml: settings file does not exist" in err


def test_plot(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    for folder in ("a", "b"):
        (here / folder / "run").mkdir(parents=True)
        (here / folder / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    assert main(["plot", "a/run", "b/run", "-o", "x.svg"]) == 0
    assert capsys.readouterr().out == "x.svg: 2 runs\n"
    text = (here / "x.svg").read_text()
    assert "a/run" in text  # the same name twice: the paths tell them apart
    assert "b/run" in text
    assert "--x must be one of step, tokens, minutes, got hours" in fails(
        capsys, 2, "plot", "a/run", "--x", "hours"
    )
    assert "c/metrics.jsonl" not in fails(capsys, 1, "plot", "c")
    assert "must end in .png, .svg or .pdf" in fails(capsys, 2, "plot", "a/run", "-o", "x.txt")
    err = fails(capsys, 1, "plot", "a/run", "-o", "absent/x.png")
    assert (
        err
        == "pyane: error: --output absent/x.png: could not be written (No such file or directory)\n"
    )


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--steps", "0", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "ConfigError" in err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_that_cannot_be_trained_on(
    capsys: pytest.CaptureFixture[str], here: Path, tmp_path: Path
) -> None:
    files = {
        "empty.txt": b"",
        "latin.txt": b"na\xefve",
        "short.txt": b"Hi.",
        "empty.bin": b"",
        "odd.bin": b"\1\0\2",
        "short.bin": b"\1\0" * 10,
        "large.bin": b"\xff\xff" * 1000,
    }
    for name, data in files.items():
        (here / name).write_bytes(data)
    (here / "folder.txt").mkdir()
    expected = {
        "empty.txt": "empty.txt: text file holds no text (0 bytes)",
        "latin.txt": "latin.txt:1: text must be UTF-8, got byte 0xef at offset 2",
        "short.txt": "short.txt: 514 tokens are needed",
        "none.txt": "none.txt: text file does not exist",
        "folder.txt": "folder.txt: text file must be a file, got a folder",
        "empty.bin": "empty.bin: token file is empty",
        "odd.bin": "odd.bin: token file must hold 2 bytes per token, got 3 bytes",
        "short.bin": "514 tokens are needed",
        "large.bin": "token 65535 at position 0 is outside [0, 512)",
        "none.bin": "none.bin: token file does not exist",
    }
    for name, message in expected.items():
        assert message in fails(capsys, 1, "train", "--data", name)
    # Nothing that failed has left a run folder.
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*files, "folder.txt"])


def test_resume_of_what_is_no_run(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert "none: run folder does not exist" in fails(capsys, 1, "train", "--resume", here / "none")
    assert "not a run folder" in fails(capsys, 1, "train", "--resume", here)
    err = fails(capsys, 2, "train", "--resume", here, "--seed", "3")
    assert "--seed cannot change in a run that is resumed" in err
    err = fails(capsys, 2, "train", "--resume", here, "--run-dir", "x")
    assert "--run-dir and --resume exclude each other" in err


def test_run_folder_in_use_is_not_overwritten(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "file").write_text("mine")
    args = ["train", "--story-bytes", "20000", "--steps", "1", "--run-dir", here]
    assert "must be new or empty" in fails(capsys, 2, *args)
    assert [p.name for p in here.iterdir()] == ["file"]


def test_checkpoints_that_cannot_be_generated_from(
    capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    (here / "bad.bin").write_bytes(b"\1" * 100)
    assert "none.bin: checkpoint cannot be read" in fails(capsys, 1, "generate", "none.bin")
    assert "must hold model.bin (a run folder) or model.safetensors" in fails(
        capsys, 1, "generate", here
    )
    assert "bad.bin" in fails(capsys, 1, "generate", "bad.bin")


def test_checkpoint_without_or_with_the_wrong_tokenizer(
    capsys: pytest.CaptureFixture[str], shared_data: Path, here: Path
) -> None:
    checkpoint = here / "stories260K.bin"
    checkpoint.write_bytes((shared_data / "stories260K.bin").read_bytes())
    err = fails(capsys, 2, "generate", checkpoint)
    assert "no tokenizer beside it; name the one it was trained with: --tokenizer FILE" in err
    wrong = shared_data / "tokenizer.model"
    err = fails(capsys, 2, "generate", checkpoint, "--tokenizer", wrong)
    assert "tokenizer has 32000 tokens, the model 512" in err
    err = fails(capsys, 2, "train", "--init-from", checkpoint)
    assert "has no tokenizer beside it" in err
    err = fails(capsys, 2, "train", "--init-from", checkpoint, "--tokenizer", wrong)
    assert f"--tokenizer {wrong}: tokenizer has 32000 tokens, the model 512" in err


def test_json_lines_that_cannot_be_written(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """Said before the data are prepared, and no run is left."""
    err = fails(capsys, 1, "train", "--jsonl", "absent/log.jsonl", "--run-dir", "run")
    assert "--jsonl absent/log.jsonl: could not be opened (no such folder)" in err
    assert list(here.iterdir()) == []
