from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyane.errors import ConfigError, DataError
from pyane.train.config import TrainConfig
from pyane.train.config_file import read_settings


def test_toml(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        "# a comment\npreset = 'stories15m'\nsteps = 10\nlearning-rate = 1e-3\nbatch_size = 4\n"
        "compact-vocabulary = true\ndata = 'sub/text.txt'\ntokenizer = '/abs/t.model'\n"
    )
    assert read_settings(file) == {
        "preset": "stories15m",
        "steps": 10,
        "learning_rate": 1e-3,
        "batch_size": 4,
        "compact_vocabulary": True,
        "data": str(tmp_path / "sub" / "text.txt"),
        "tokenizer": "/abs/t.model",
    }


def test_table_and_json(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[train]\nseed = 3\n")
    assert read_settings(tmp_path / "run.toml") == {"seed": 3}
    (tmp_path / "run.json").write_text('{"seed": 3, "data": null}')
    assert read_settings(tmp_path / "run.json") == {"seed": 3}


def test_config_of_a_run_gives_the_same_run(tmp_path: Path) -> None:
    config = TrainConfig(steps=7, patience=2, data="/x/y.txt", pipeline="static")
    written = {"pyane": "0", "device": "emulator", "train": config.to_dict(), "model": {"dim": 8}}
    (tmp_path / "config.json").write_text(json.dumps(written))
    assert TrainConfig.from_dict(read_settings(tmp_path / "config.json")) == config


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "step = 5", r"a\.toml: unknown training setting 'step'; did you mean 'steps'\?"),
        ("a.toml", "optimiser = 1", "unknown training setting 'optimiser'; known: accumulation, "),
        ("a.toml", "[train]\nx = 1", "unknown training setting 'x'"),
        ("a.toml", "[train]\nseed = 1\n[model]\ndim = 8", r"'model' beside \[train\]"),
        ("a.toml", "[training]\nseed = 1", "unknown training setting 'training'"),
        ("a.toml", "eval-every = 1\neval_every = 2", "given twice, with '-' and with '_'"),
        ("a.toml", "steps = many", r"a\.toml: settings are not TOML: .*line 1"),
        ("a.toml", "steps = 1\nsteps = 2", "settings are not TOML"),
        ("a.json", "{", r"settings are not JSON: .*line 1 column 2"),
        ("a.json", "[1]", "settings must be an object, got list"),
        ("a.json", "[" * 100_000, "settings are not JSON"),
        ("a.toml", "a = " + "[" * 100_000, "settings are not TOML"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / name)


def test_bytes_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"settings are not TOML: .*utf-8"):
        read_settings(tmp_path / "a.toml")
    with pytest.raises(DataError, match=r"b\.toml: settings file does not exist"):
        read_settings(tmp_path / "b.toml")
