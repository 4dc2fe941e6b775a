"""Training the real model on the emulator, short and small."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyane import llama, train
from pyane.errors import CheckpointError, ConfigError, DataError
from pyane.train.config_file import read_settings
from pyane.train.metrics import read_jsonl
from pyane.train.stories import story_text

SMALL = {
    "steps": 6,
    "batch_size": 1,
    "seq_len": 32,
    "eval_sequences": 2,
    "story_bytes": 20_000,
    "save_every": 2,
    "device": "emulator",
}


def run(path: Path, **settings: Any) -> train.Session:
    session = train.start(train.TrainConfig.from_dict({**SMALL, **settings}), path)
    try:
        session.trainer.train()
    finally:
        session.close()
    return session


def losses(path: Path) -> list[float]:
    return [r["loss"] for r in read_jsonl(path / "metrics.jsonl")[1:]]


def test_run_folder(tmp_path: Path) -> None:
    session = run(tmp_path / "run")
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names == {
        "best.bin", "config.json", "lock", "metrics.jsonl", "model.bin", "state.bin", "timing.jsonl",
        "tokenizer.model",
    }  # fmt: skip
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert train.TrainConfig.from_dict(config["train"]) == session.trainer.config
    assert config["device"] == session.device
    assert config["n_parameters"] == 260_032
    assert losses(tmp_path / "run")[0] == pytest.approx(math.log(512), abs=0.3)


def test_first_loss_is_that_of_a_uniform_guess(tmp_path: Path) -> None:
    run(tmp_path / "run", steps=1)
    first = read_jsonl(tmp_path / "run" / "metrics.jsonl")[0]
    assert first["held_out_loss"] == pytest.approx(math.log(512), abs=0.1)


def test_same_seed_same_metrics(tmp_path: Path) -> None:
    for name in "ab":
        run(tmp_path / name)
    a, b = ((tmp_path / n / "metrics.jsonl").read_bytes() for n in "ab")
    assert a == b


def test_resume_is_exact(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    session = train.start(train.TrainConfig.from_dict(SMALL), tmp_path / "broken")
    session.trainer.train(lambda r: session.trainer.request_stop() if r.step == 3 else None)
    session.close()
    resumed = train.resume(tmp_path / "broken", {})
    assert resumed.trainer.step == 3
    assert resumed.trainer.train()
    resumed.close()
    for name in ("metrics.jsonl", "model.bin", "state.bin"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_resume_refuses(tmp_path: Path) -> None:
    text = tmp_path / "story.txt"
    text.write_text(story_text(20_000, seed=1))
    run(tmp_path / "run", data=str(text), steps=2)
    path = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"all 2 steps are done; to go on: .* --steps N"):
        train.resume(path, {})
    with pytest.raises(ConfigError, match="--batch-size cannot change in a run that is resumed"):
        train.resume(path, {"batch_size": 2})
    text.write_text(story_text(20_000, seed=2))
    with pytest.raises(DataError, match="data are not those the run began with"):
        train.resume(path, {"steps": 4})
    text.unlink()
    with pytest.raises(DataError, match=r"story\.txt: text file does not exist"):
        train.resume(path, {"steps": 4})
    text.write_text(story_text(20_000, seed=1))
    kept = (path / "state.bin").read_bytes()
    (path / "state.bin").write_bytes(kept[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        train.resume(path, {"steps": 4})
    (path / "state.bin").write_bytes(kept)
    session = train.resume(path, {"steps": 4})
    with pytest.raises(CheckpointError, match="another trainer is working"):
        train.resume(path, {"steps": 4})
    assert session.trainer.train()
    session.close()
    assert len(losses(path)) == 4


def test_token_file(tmp_path: Path) -> None:
    tokens = np.random.default_rng(0).integers(0, 512, 2000).astype("<u2")
    tokens.tofile(tmp_path / "tokens.bin")
    session = run(tmp_path / "run", data=str(tmp_path / "tokens.bin"), steps=2)
    assert session.tokenizer is None
    assert session.dataset.n_sequences == (1900 - 1) // 32


def test_tokenizer_decides_the_vocabulary(tmp_path: Path) -> None:
    train.train_tokenizer(story_text(50_000, seed=0), 400).save(tmp_path / "t.model")
    session = run(tmp_path / "run", tokenizer=str(tmp_path / "t.model"), steps=1)
    assert session.model.config.vocab_size == 400
    assert (tmp_path / "run" / "tokenizer.model").read_bytes() == (
        tmp_path / "t.model"
    ).read_bytes()


def test_init_from_a_run(tmp_path: Path) -> None:
    run(tmp_path / "first", steps=4)
    start = train.TrainConfig.from_dict({**SMALL, "init_from": str(tmp_path / "first"), "steps": 1})
    session = train.start(start, tmp_path / "second")
    _, parameters, tokenizer = train.load_model(tmp_path / "first")
    np.testing.assert_array_equal(session.model.parameters.flat, parameters.flat)
    assert tokenizer is not None
    assert session.tokenizer is not None
    assert session.tokenizer.serialized() == tokenizer.read_bytes()
    session.close()
    with pytest.raises(ConfigError, match="--seq-len must be at most 32, the model's, got 64"):
        train.start(
            train.TrainConfig.from_dict({**start.to_dict(), "seq_len": 64}), tmp_path / "third"
        )
    assert not (tmp_path / "third").exists()


def test_failed_start_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = train.TrainConfig.from_dict({**SMALL, "preset": "gpt5"})
    with pytest.raises(ConfigError, match="--preset must be one of stories260k"):
        train.start(config)
    config = train.TrainConfig.from_dict({**SMALL, "seq_len": 5000, "data": "missing.txt"})
    with pytest.raises(DataError, match="does not exist"):
        train.start(config)
    assert list(tmp_path.iterdir()) == []


def test_sizes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hugging Face's keys or our own; grouped queries, heads of their own width."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    huggingface = {
        "model_type": "llama", "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 400,
        "max_position_embeddings": 8192, "tie_word_embeddings": False, "rope_theta": 5e5,
    }  # fmt: skip
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(huggingface))
    settings = {**SMALL, "steps": 2, "save_every": 1}
    config = train.TrainConfig.for_preset("tiny/config.json", **settings)
    session = train.start(config)
    assert session.run.path == Path("runs/tiny-1")
    shape = session.model.config
    assert (shape.dim, shape.n_kv_heads, shape.head_dim, shape.vocab_size) == (24, 2, 8, 400)
    assert (shape.seq_len, shape.rope_theta, shape.tied_classifier) == (32, 5e5, False)
    session.trainer.train(lambda r: session.trainer.request_stop() if r.step == 1 else None)
    session.close()
    (tmp_path / "tiny" / "config.json").unlink()  # a run knows its sizes
    again = train.resume(Path("runs/tiny-1"), {})
    assert again.trainer.train()
    again.close()
    assert train.load_model(Path("runs/tiny-1"))[0] == shape

    (tmp_path / "ours.json").write_text(json.dumps(dataclasses.asdict(shape)))
    (tmp_path / "run.toml").write_text('preset = "ours.json"')
    assert read_settings(tmp_path / "run.toml")["preset"] == str(tmp_path / "ours.json")
    session = train.start(train.TrainConfig.for_preset("ours.json", **settings), tmp_path / "ours")
    assert session.model.config == shape
    assert session.trainer.train()
    session.close()
    for name in ("metrics.jsonl", "model.safetensors"):
        ours, theirs = (tmp_path / folder / name for folder in ("ours", "runs/tiny-1"))
        assert ours.read_bytes() == theirs.read_bytes()

    with pytest.raises(DataError, match=r"none\.json: --preset does not exist"):
        run(tmp_path / "other", preset="none.json")
    (tmp_path / "bad.json").write_text(json.dumps({**huggingface, "rope_scaling": {"factor": 8.0}}))
    with pytest.raises(CheckpointError, match=r"bad\.json: rope_scaling must be None"):
        run(tmp_path / "other", preset="bad.json")
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_real_text_is_learnt(tmp_path: Path, shared_data: Path) -> None:
    text = shared_data / "tinystories_200k.txt"
    run(tmp_path / "run", data=str(text), steps=200, batch_size=2, seq_len=64, eval_sequences=8)
    held_out = [
        r["held_out_loss"]
        for r in read_jsonl(tmp_path / "run" / "metrics.jsonl")
        if "held_out_loss" in r
    ]
    assert held_out[0] == pytest.approx(math.log(512), abs=0.2)
    assert held_out[-1] < 5


@pytest.mark.slow
def test_fine_tuning_real_weights(tmp_path: Path, shared_data: Path) -> None:
    run(
        tmp_path / "run",
        init_from=str(shared_data / "stories260K.bin"),
        tokenizer=str(shared_data / "tok512.bin"),
        data=str(shared_data / "tinystories_200k.txt"),
        steps=40,
        batch_size=2,
        seq_len=128,
        learning_rate=3e-4,
        eval_sequences=16,
    )
    records = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert records[0]["held_out_loss"] < 2  # it has been trained on such stories
    assert records[-1]["held_out_loss"] < records[0]["held_out_loss"]
    config, _, tokenizer = train.load_model(tmp_path / "run")
    assert config == llama.checkpoint.read_llama2c(shared_data / "stories260K.bin")[0]
    assert tokenizer == tmp_path / "run" / "tokenizer.bin"
