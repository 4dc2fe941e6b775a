from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyane.errors import CheckpointError
from pyane.train.state import TrainingState, load_state, save_state


def make_state(rng: np.random.Generator, n: int = 101, **changes: Any) -> TrainingState:
    arrays = {k: rng.standard_normal(n).astype(np.float32) for k in ("parameters", "m", "v")}
    meta: dict[str, Any] = {
        "step": 17,
        "skipped": 2,
        "loss_scale": 4096.0,
        "good_steps": 9,
        "data_hash": "ab" * 32,
        "config": {"steps": 20, "learning_rate": 0.1, "data": None},
        "model": {"dim": 8},
        "best_loss": 1.5,
        "best_step": 16,
        "evaluations_since_best": 1,
        "pending": {"step": 17, "loss": 0.1},
        "unused_rows": rng.standard_normal(7).astype(np.float32),
    }
    return TrainingState(**arrays, **{**meta, **changes})


def equal(a: TrainingState, b: TrainingState) -> bool:
    pairs = ((getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("n", [1, 101, 5_000_000])
def test_round_trip(rng: np.random.Generator, tmp_path: Path, n: int) -> None:
    state = make_state(rng, n)
    save_state(tmp_path / "state.bin", state)
    again = load_state(tmp_path / "state.bin")
    assert equal(again, state)
    assert again.parameters.flags.writeable
    assert [p.name for p in tmp_path.iterdir()] == ["state.bin"]


def test_same_state_same_bytes(rng: np.random.Generator, tmp_path: Path) -> None:
    state = make_state(rng)
    for name in "ab":
        save_state(tmp_path / name, state)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_truncation_is_noticed(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    save_state(path, make_state(rng))
    data = path.read_bytes()
    for n in [*range(80), *range(80, len(data), 37), len(data) - 1]:
        path.write_bytes(data[:n])
        with pytest.raises(CheckpointError, match=r"state\.bin: training state"):
            load_state(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(CheckpointError):
        load_state(path)


def test_every_flipped_bit_is_noticed(rng: np.random.Generator, tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    save_state(path, make_state(rng))
    data = path.read_bytes()
    for at in [*range(0, len(data), 7), len(data) - 1]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        with pytest.raises(
            CheckpointError, match=r"state\.bin: .*(corrupt|truncated|not a training)"
        ):
            load_state(path)


def with_header(header: bytes, n_floats: int = 3) -> bytes:
    data = struct.pack("<8sQ", b"PYANEST2", len(header)) + header + bytes(4 * n_floats)
    return data + hashlib.sha256(data).digest()


META = {
    "step": 1,
    "skipped": 0,
    "loss_scale": 1.0,
    "good_steps": 0,
    "data_hash": "",
    "config": {},
    "model": {},
    "best_loss": None,
    "best_step": 0,
    "evaluations_since_best": 0,
    "pending": None,
}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "truncated: 0 bytes"),
        (b"GGUF" + bytes(100), "not a training state: it must begin with"),
        (struct.pack("<8sQ", b"PYANEST2", 1 << 60), f"header of {1 << 60} bytes in 16"),
        (with_header(b"{"), "header is not understood"),
        (with_header(b"[]"), "header is not understood"),
        (with_header(b"\xff"), "header is not understood"),
        (
            with_header(json.dumps({"meta": {**META, "step": "x"}, "arrays": []}).encode()),
            "header is not und",
        ),
        (with_header(json.dumps({"meta": META, "arrays": []}).encode()), "other arrays than"),
        (
            with_header(json.dumps({"meta": META, "arrays": [["parameters", 10**15]]}).encode()),
            r"other arrays than .*10{15}",
        ),
        (
            with_header(
                json.dumps(
                    {
                        "meta": META,
                        "arrays": [["parameters", 1], ["m", 1], ["v", 1], ["unused_rows", 0]],
                    }
                ).encode(),
                n_floats=2,
            ),
            "truncated or corrupt",
        ),
        (
            with_header(
                json.dumps(
                    {
                        "meta": META,
                        "arrays": [["parameters", 1], ["m", 1], ["v", 2], ["unused_rows", 0]],
                    }
                ).encode(),
                n_floats=4,
            ),
            "other arrays than",
        ),
    ],
    ids=range(11),
)
def test_hostile_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "state.bin"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        load_state(path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match="no training state here; --resume needs a run folder"
    ):
        load_state(tmp_path / "state.bin")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_state(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failed_save_keeps_the_old_state(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "state.bin"
    old = make_state(rng)
    save_state(path, old)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as m:
        if call == "replace":
            m.setattr(Path, "replace", full)
        else:
            m.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match=r"No space left on device.*saved before is kept"):
            save_state(path, make_state(rng, step=18))
    assert equal(load_state(path), old)
    assert [p.name for p in tmp_path.iterdir()] == ["state.bin"]


def test_full_disk(rng: np.random.Generator, tmp_path: Path) -> None:
    # A file size limit fails writes half way, as a full disk does.
    path = tmp_path / "state.bin"
    old = make_state(rng, 1000)
    save_state(path, old)
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from pyane.errors import CheckpointError
from pyane.train.state import load_state, save_state
path = Path(sys.argv[1])
state = load_state(path)
state.parameters = state.m = state.v = np.ones(1_000_000, np.float32)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_state(path, state)
except CheckpointError as e:
    sys.exit(f"refused: {e}")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "refused:" in done.stderr
    assert "File too large" in done.stderr
    assert equal(load_state(path), old)
    assert [p.name for p in tmp_path.iterdir()] == ["state.bin"]
