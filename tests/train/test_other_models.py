"""Models that llama2.c's format cannot hold train, resume and generate all the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyane.cli import main
from pyane.llama import Config, Parameters, checkpoint
from pyane.train.config import TrainConfig
from pyane.train.stories import story_text
from pyane.train.tokenizer import train_tokenizer

SIZES = {"dim": 16, "hidden_dim": 24, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "seq_len": 32}


@pytest.mark.parametrize(
    "options", [{"rope_theta": 5e5}, {"head_dim": 6, "qk_norm": True, "norm_eps": 1e-6}]
)
def test_from_a_folder_to_a_folder(
    options: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = story_text(30_000, 0)
    Path("text.txt").write_text(text)
    tokenizer = train_tokenizer(text, 400)
    config = Config(**SIZES, vocab_size=tokenizer.vocab_size, **options)
    first = Parameters(config).init(np.random.default_rng(0))
    checkpoint.write("start", config, first)
    tokenizer.save(Path("start/tokenizer.model"))
    common = ["--seq-len", "16", "--eval-sequences", "2", "--eval-every", "1"]
    args = ["--init-from", "start", "--data", "text.txt", "--run-dir", "run", *common]
    assert main(["train", "--steps", "2", *args]) == 0
    assert main(["train", "--steps", "3", "--resume", "run"]) == 0
    assert Path("run/model.safetensors").is_file()
    assert not Path("run/model.bin").exists()
    trained_config, trained = checkpoint.read("run")
    assert trained_config == config
    assert not np.array_equal(trained.flat, first.flat)
    assert main(["generate", "run", "--max-tokens", "5"]) == 0
    assert main(["convert", "run", "end"]) == 0
    assert np.array_equal(checkpoint.read("end")[1].flat, trained.flat)
    assert Path("end/tokenizer.model").is_file()


@pytest.mark.parametrize(("dim", "preset"), [(64, "stories260k"), (336, "stories15m")])
def test_weights_bring_settings_that_suit_them(
    dim: int, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = story_text(30_000, 0)
    Path("text.txt").write_text(text)
    tokenizer = train_tokenizer(text, 400)
    config = Config(**{**SIZES, "dim": dim}, vocab_size=tokenizer.vocab_size)
    checkpoint.write("start.bin", config, Parameters(config).init(np.random.default_rng(0)))
    tokenizer.save(Path("tokenizer.model"))
    args = ["--init-from", "start.bin", "--data", "text.txt", "--seq-len", "16", "--steps", "1"]
    assert main(["train", *args, "--run-dir", "run", "--eval-sequences", "2"]) == 0
    settings = json.loads(Path("run/config.json").read_text())["train"]
    expected = TrainConfig.for_preset(preset)
    assert settings["preset"] == preset
    assert settings["learning_rate"] == pytest.approx(expected.learning_rate / 10)
    assert main(["train", *args, "--run-dir", "other", "--preset", "stories110m"]) == 0
    settings = json.loads(Path("other/config.json").read_text())["train"]
    assert settings["learning_rate"] == pytest.approx(3e-5)
    again = ["--config", "run/config.json", "--run-dir", "again", "--learning-rate", "0.002"]
    assert main(["train", *again]) == 0
    assert json.loads(Path("again/config.json").read_text())["train"]["learning_rate"] == 0.002
