from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyane
from pyane import ane, llama, train

SETTINGS = {
    "steps": 8,
    "batch_size": 2,
    "seq_len": 64,
    "eval_sequences": 2,
    "eval_every": 4,
    "save_every": 4,
    "story_bytes": 30_000,
}


def run(path: Path, **settings: Any) -> dict[str, bytes]:
    session = train.start(train.TrainConfig.from_dict({**SETTINGS, **settings}), path)
    try:
        session.trainer.train()
    finally:
        session.close()
    config = json.loads((path / "config.json").read_text())
    assert config["device"] == settings["device"], "the run must say what it ran on"
    return {name: (path / name).read_bytes() for name in ("metrics.jsonl", "model.bin")}


def test_training_gives_the_bits_of_the_emulator(fake: Any, tmp_path: Path) -> None:
    before = ane.budget().compiles
    ours = run(tmp_path / "ane", device="ane")
    assert fake.evaluations() > 0
    theirs = run(tmp_path / "emulator", device="emulator")
    assert ours == theirs
    assert len(ours["metrics.jsonl"].splitlines()) >= SETTINGS["steps"]
    # Weights enter through surfaces: no step compiles anything.
    assert ane.budget().compiles - before <= 9


def test_gradients_are_those_of_the_emulator(
    fake: Any, device: pyane.Device, rng: np.random.Generator
) -> None:
    config = llama.Config(
        dim=24, hidden_dim=40, n_layers=2, n_heads=6, n_kv_heads=2, vocab_size=50, seq_len=21
    )
    parameters = llama.Parameters(config)
    parameters.init(rng)
    tokens = rng.integers(0, 50, (2, 21))
    results = []
    for place in (device, pyane.device("emulator")):
        with llama.Model(config, parameters, place, batch=2) as model:
            model.upload_weights()
            loss = model.loss_and_gradients(tokens, np.roll(tokens, -1), loss_scale=1024.0)
            results.append((loss, model.gradients.flat.copy()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert fake.evaluations() > 0


def test_a_failing_engine_stops_the_training(fake: Any, tmp_path: Path) -> None:
    fake.fail_evaluate(40)
    with pytest.raises(pyane.EvaluateError, match="status=0x1d"):
        run(tmp_path / "run", device="ane")
