"""The run folder as a crash would leave it, at every moment at which its files change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fake_model import CONFIG, FakeModel
from pyane.train.config import TrainConfig
from pyane.train.data import Dataset, split
from pyane.train.run_folder import RunFolder
from pyane.train.state import load_state
from pyane.train.trainer import Trainer

SETTINGS = TrainConfig(
    steps=7, seq_len=16, learning_rate=0.05, warmup_steps=2, eval_every=2, save_every=3
)
RESULTS = ("metrics.jsonl", "model.bin", "best.bin", "state.bin")


def dataset() -> Dataset:
    tokens = np.cumsum(np.random.default_rng(0).integers(1, 3, 600)) % CONFIG.vocab_size
    return split(tokens.astype(np.uint16), 16, 0.1, "tokens")


class Snapshots:
    """Copies of a folder, taken before and after every call that makes a change lasting."""

    def __init__(self, run: Path, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run = run
        self.to = to
        self.paths: list[Path] = []
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            original = getattr(owner, name)

            def wrapped(*args: object, original: object = original, **kwargs: object) -> object:
                self.take()
                result = original(*args, **kwargs)  # type: ignore[operator]
                self.take()
                return result

            monkeypatch.setattr(owner, name, wrapped)

    def take(self) -> None:
        path = self.to / str(len(self.paths))
        shutil.copytree(self.run, path)
        for temporary in path.glob(".*.tmp"):  # the kernel may have got only a part of it
            os.truncate(temporary, temporary.stat().st_size // 2)
        self.paths.append(path)


def test_every_crash_point_resumes_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder.create(tmp_path / "whole")
    run.write_config({})
    with monkeypatch.context() as m:
        snapshots = Snapshots(run.path, tmp_path / "crashes", m)
        assert Trainer(SETTINGS, FakeModel(), dataset(), run).train()
    run.close()
    whole = {name: (run.path / name).read_bytes() for name in RESULTS}

    steps = set()
    for path in snapshots.paths:
        crashed = RunFolder.open(path)
        if not crashed.state.exists():
            # Metrics, times (fsync each), weights, state (fsync, rename, fsync of the folder each):
            # the rename of the first state is the seventh change, from snapshot 12 to 13.
            assert int(path.name) <= 12
            crashed.close()
            continue
        state = load_state(crashed.state)
        steps.add(state.step)
        assert Trainer(SETTINGS, FakeModel(seed=1), dataset(), crashed, state).train()
        crashed.close()
        for name in RESULTS:
            assert (path / name).read_bytes() == whole[name], f"{path.name}: {name}"
        assert not list(path.glob(".*.tmp"))
    assert steps == {0, 3, 6, 7}
    assert len(snapshots.paths) > 40
