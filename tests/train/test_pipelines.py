"""The trainer on every pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pyane
from pyane import llama, train
from pyane.errors import CompileBudgetError

SETTINGS: dict[str, Any] = {
    "steps": 4,
    "batch_size": 2,
    "seq_len": 32,
    "eval_sequences": 2,
    "eval_every": 2,
    "save_every": 2,
    "story_bytes": 30_000,
    "device": "emulator",
}


def run(path: Path, **settings: Any) -> dict[str, bytes]:
    session = train.start(train.TrainConfig.from_dict({**SETTINGS, **settings}), path)
    try:
        session.trainer.train()
    finally:
        session.close()
    return {name: (path / name).read_bytes() for name in ("metrics.jsonl", "model.bin")}


def test_pipelines_train_to_the_same_weights(tmp_path: Path) -> None:
    plain = run(tmp_path / "dynamic")
    assert run(tmp_path / "packed", weights_as="packed") == plain
    assert run(tmp_path / "static", pipeline="static") == plain
    assert run(tmp_path / "single", pipeline="static", blobs="single") == plain


def test_steps_that_overflow_upload_nothing_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam itself uploads in the first of these, and not when a step is skipped; over micro-batches."""
    settings = {"accumulation": 2, "loss_scale": 2.0**24, "steps": 12, "save_every": 5}
    n_uploads = 0
    upload = llama.Model.upload_weights

    def count(self: llama.Model) -> None:
        nonlocal n_uploads
        n_uploads += 1
        upload(self)

    monkeypatch.setattr(llama.Model, "upload_weights", count)
    plain = run(tmp_path / "dynamic", weights_as="inputs", **settings)
    last = json.loads(plain["metrics.jsonl"].splitlines()[-1])
    assert 0 < last["skipped"] < 12
    assert n_uploads == 1
    assert run(tmp_path / "packed", weights_as="packed", **settings) == plain
    assert n_uploads == 1 + 1 + 12 - last["skipped"]
    assert run(tmp_path / "static", pipeline="static", **settings) == plain


def test_classifier_on_the_device(tmp_path: Path) -> None:
    """fp16 logits: other losses, by no more than their rounding of numbers below 16."""
    found = [run(tmp_path / cls, cls=cls)["metrics.jsonl"] for cls in ("cpu", "ane")]
    losses = [
        [entry["loss"] for entry in map(json.loads, lines.splitlines()) if "loss" in entry]
        for lines in found
    ]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], abs=16 * 2.0**-11)


def test_a_run_goes_on_where_the_budget_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stops and resumes as a chain of processes would, each with its own budget."""
    whole = run(tmp_path / "whole")
    path = tmp_path / "static"
    settings = {**SETTINGS, "pipeline": "static"}
    device = pyane.device("emulator")
    n_processes, is_done = 0, False
    while not is_done:
        monkeypatch.setenv("PYANE_COMPILE_BUDGET", "1")
        budget = device.budget()
        assert budget is not None
        # 26 programs for the first weights of 5 layers, 25 for new ones; a few are left over.
        monkeypatch.setenv("PYANE_COMPILE_BUDGET", str(budget.compiles + 26 + 25 + 3))
        n_processes += 1
        assert n_processes < 10
        session = (
            train.resume(path, {})
            if path.exists()
            else train.start(train.TrainConfig.from_dict(settings), path)
        )
        try:
            is_done = session.trainer.train()
        except CompileBudgetError as error:
            assert "must compile 25 programs" in str(error)  # noqa: PT017 - is_done matters, too
        finally:
            session.close()
    assert n_processes > 1
    for name, content in whole.items():
        assert (path / name).read_bytes() == content, name
